"""Successive halving: the contract, and who goes on to which fidelity."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from hwnas.core.choice import Arch
from hwnas.core.space import Space
from hwnas.evaluators import EvaluationFailed, Evaluator
from hwnas.front import Generational, Problem, make_strategy, run
from targets.errors import DamagedFileError, HwnasError, UsageError
from tests.support.strategies import DepthSpace, StrategyContract, depth_costs, depth_metrics

PRICES = (0.1, 0.3, 1.0)
SPACE = DepthSpace()
ACCURACY = Problem.parse(["val_accuracy"])


class TestSuccessiveHalving(StrategyContract):
    name = "successive-halving"
    options = {"width": 9}  # noqa: RUF012 - as the contract has it


def evaluators(space: DepthSpace = SPACE, broken: Sequence[str] = ()) -> list[Evaluator]:
    """At a lower fidelity the accuracy is lower, and so is the order of some."""

    def at(fidelity: int) -> Evaluator:
        def evaluate(archs: Sequence[Arch]) -> list[Any]:
            rows = []
            for arch in archs:
                metrics = depth_metrics(space, arch)
                early = (
                    metrics["val_accuracy"] * (0.5 + 0.25 * fidelity) - 0.02 * (2 - fidelity) * arch[1] / 4
                )
                row = {**metrics, "val_accuracy": max(early, 0.0), "fidelity_seen": float(fidelity)}
                rows.append(EvaluationFailed("oom") if space.key(arch) in broken else row)
            return rows

        return evaluate

    return [at(fidelity) for fidelity in range(len(PRICES))]


def make(
    problem: Problem = ACCURACY, space: Space = SPACE, width: int = 9, population: int = 4
) -> Generational:
    return make_strategy(
        "successive-halving",
        space,
        problem,
        population=population,
        seed=1,
        prices=PRICES,
        costs_of=depth_costs(space),
        width=width,
    )


def test_of_nine_the_three_best_go_on_and_then_the_best_one() -> None:
    strategy = make(population=3)
    run(strategy, evaluators(), 5)
    by_fidelity = [[t for t in strategy.history.trials if t.fidelity == f] for f in range(3)]
    assert [len(trials) for trials in by_fidelity] == [11, 3, 1]  # two of the next bracket
    for lower, higher in itertools.pairwise(by_fidelity):
        best = sorted(lower, key=lambda t: -t.metrics["val_accuracy"])[: len(higher)]
        assert {t.arch for t in higher} == {t.arch for t in best}
        assert all(t.origin == "promoted" for t in higher)
    assert all(t.metrics["fidelity_seen"] == t.fidelity for t in strategy.history.trials)


def test_the_front_and_the_curve_are_of_the_last_fidelity_and_count_by_price() -> None:
    strategy = make(Problem.parse(["val_accuracy", "latency_ms"]), population=3)
    run(strategy, evaluators(), 5)
    history = strategy.history
    assert [t.fidelity for t in history.front()] == [2]
    assert history.spent() == pytest.approx(9 * 0.1 + 3 * 0.3 + 1 + (len(history.trials) - 13) * 0.1)
    curve = history.hypervolumes()
    assert [row["value"] > 0 for row in curve] == [False] * 4 + [True]
    assert curve[3]["evaluated"] == pytest.approx(9 * 0.1 + 3 * 0.3)


def test_killed_at_any_generation_it_goes_on_the_same_also_with_failures() -> None:
    problem = Problem.parse(["val_accuracy", "latency_ms"])
    broken = [SPACE.key(a) for a in SPACE.enumerate()][::5]
    whole = make(problem)
    run(whole, evaluators(broken=broken), 14)
    trials = whole.history.trials
    assert {t.fidelity for t in trials} == {0, 1, 2} and any(t.failure for t in trials)
    assert len({(t.arch, t.fidelity) for t in trials}) == len(trials)
    for killed_at in range(14):
        again = make(problem)
        again.restore([t.to_json() for t in trials if t.generation < killed_at])
        run(again, evaluators(broken=broken), 14)
        assert again.history.trials == trials


def test_a_space_that_is_used_up_ends_with_a_bracket_that_was_not_full() -> None:
    space = DepthSpace((1, 2), 2)  # 2 + 4 architectures
    strategy = make(space=space, width=9)
    assert run(strategy, evaluators(space)) == "exhausted"
    assert [sum(t.fidelity == f for t in strategy.history.trials) for f in range(3)] == [6, 2, 1]


def test_more_are_asked_while_a_rung_is_still_evaluated() -> None:
    strategy, rungs = make(), evaluators()
    waiting = strategy.ask(3)
    for _ in range(60):
        first, *waiting = waiting
        strategy.tell([first], rungs[strategy.history.next_fidelity(first)]([first]))
        waiting += strategy.ask(1)
    assert {t.fidelity for t in strategy.history.trials} == {0, 1, 2}
    assert len(strategy.history.trials) == 60


def test_architectures_inside_the_budgets_are_drawn_first() -> None:
    strategy = make(Problem.parse(["val_accuracy"], ["latency_ms<=10"]), width=20, population=20)
    assert max(depth_metrics(SPACE, a)["latency_ms"] for a in strategy.ask()) <= 10


def test_a_trial_beyond_the_last_fidelity_is_refused() -> None:
    strategy = make_strategy("random", SPACE, ACCURACY, population=2, seed=0)
    run(strategy, evaluators()[-1], 1)
    arch = SPACE.from_string(strategy.history.trials[0].arch)
    with pytest.raises(HwnasError, match="was evaluated before"):
        strategy.history.add([arch], ["random"], [depth_metrics(SPACE, arch)])
    stored = [t.to_json() for t in strategy.history.trials]
    again = make_strategy("random", SPACE, ACCURACY, population=2, seed=0)
    with pytest.raises(DamagedFileError, match="row 2"):
        again.restore([*stored, {**stored[0], "number": 2, "fidelity": 1}])


def test_a_strategy_of_one_fidelity_takes_no_prices() -> None:
    with pytest.raises(UsageError, match="strategy 'random' evaluates at one fidelity, got prices of 3"):
        make_strategy("random", SPACE, ACCURACY, population=2, seed=0, prices=PRICES)
