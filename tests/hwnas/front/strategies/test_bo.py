"""Bayesian search in the loop: the contract, and that what it is asked is what it can answer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hwnas.core.budget import Budget
from hwnas.core.choice import Arch
from hwnas.core.space import Space
from hwnas.front import Generational, Problem, make_strategy, run
from hwnas.front.strategies.bo import BayesianProposals, split_problem
from targets.errors import HwnasError, UsageError
from tests.support.strategies import DepthEvaluator, DepthSpace, StrategyContract, depth_costs, depth_metrics

PROBLEM = Problem.parse(["val_accuracy", "latency_ms"])


def make(space: Space, problem: Problem = PROBLEM, **settings: Any) -> Generational:
    chosen: dict[str, Any] = {"population": 4, "seed": 0, "costs_of": depth_costs(space)} | settings
    return make_strategy("bo", space, problem, **chosen)


class TestBayesianSearch(StrategyContract):
    name = "bo"
    knows_costs = True


def test_budgets_are_kept_in_the_loop() -> None:
    space = DepthSpace()
    budgets = [Budget("latency_ms", 10.0), Budget("macs", 9e6)]
    strategy = make(space, Problem.parse(["val_accuracy", "latency_ms"], budgets))
    assert run(strategy, DepthEvaluator(space), 10) == "generations"
    trials = strategy.history.trials
    assert len(trials) == 40 and all(trial.feasible for trial in trials)
    assert [t.origin for t in trials] == ["start"] * 5 + ["model"] * 35


def test_the_worst_ratio_to_a_budget_is_an_objective_that_is_known() -> None:
    problem = Problem.parse(["val_accuracy", "latency_ratio"], ["latency_ms<=10", "latency_ms@pi<=4"])
    predicted, task = split_problem("bo", problem)
    assert predicted == "val_accuracy" and task.known == ("latency_ratio",)
    assert task.metrics == ("latency_ratio", "latency_ms", "latency_ms@pi")


def test_what_the_budgets_exclude_is_not_missed() -> None:
    space = DepthSpace((1, 2), 3)
    limit = sorted(depth_metrics(space, a)["latency_ms"] for a in space.enumerate())[5]
    strategy = make(space, Problem.parse(["val_accuracy", "latency_ms"], [Budget("latency_ms", limit)]))
    assert run(strategy, DepthEvaluator(space), 10) == "exhausted"
    inside = {space.key(a) for a in space.enumerate() if depth_metrics(space, a)["latency_ms"] <= limit}
    assert {trial.arch for trial in strategy.history.trials} == inside


def test_a_seed_that_the_start_would_take_does_not_cost_a_place() -> None:
    space = DepthSpace()
    start = make(space).ask()
    assert len(set(make(space, population=6, seeds=start[:2]).ask())) == 6


def test_the_surrogate_chooses_beside_the_last_seed_of_the_start() -> None:
    """Five seeds in batches of two: the sixth evaluation is no longer of the start."""
    space = DepthSpace()
    start = make(space, population=5).ask()
    seeds = [arch for arch in make(space, population=60).ask() if arch not in start][:5]
    strategy = make(space, seeds=seeds)
    run(strategy, DepthEvaluator(space), 4, left=lambda: 2)
    assert [t.origin for t in strategy.history.trials] == ["seed"] * 5 + ["model"] * 3


@pytest.mark.parametrize("objectives", [["latency_ms", "macs"], ["val_accuracy", "val_loss", "latency_ms"]])
def test_it_predicts_exactly_one_objective(objectives: list[str]) -> None:
    with pytest.raises(UsageError, match="exactly one objective"):
        make(DepthSpace(), Problem.parse(objectives))


def test_it_needs_costs_and_a_start() -> None:
    with pytest.raises(UsageError, match="give costs_of"):
        make(DepthSpace(), costs_of=None)
    with pytest.raises(UsageError, match="n_start must be at least 1"):
        make(DepthSpace(), n_start=0)


def test_costs_of_other_targets_are_known_too() -> None:
    predicted, task = split_problem("bo", Problem.parse(["val_loss", "latency_ms", "latency_ms@phone"]))
    assert predicted == "val_loss" and task.known == ("latency_ms", "latency_ms@phone")


def test_the_loss_is_an_error_as_it_is() -> None:
    space = DepthSpace()
    strategy = make(space, Problem.parse(["val_loss", "latency_ms"]))

    def evaluate(archs: Sequence[Arch]) -> list[dict[str, float]]:
        rows = [depth_metrics(space, a) for a in archs]
        return [{"val_loss": -float(np.log(r["val_accuracy"])), "latency_ms": r["latency_ms"]} for r in rows]

    run(strategy, evaluate, 5)
    proposals = strategy.propose
    assert isinstance(proposals, BayesianProposals)
    first, trial = proposals.observations(strategy.history)[0], strategy.history.trials[0]
    assert first.error == trial.metrics["val_loss"] and space.key(first.arch) == trial.arch


def test_forecasts_are_those_of_a_process_that_scikit_learn_makes_too() -> None:
    """The mean interpolates what is noiseless; far fewer trials than three give none."""
    space = DepthSpace()
    strategy = make(space)
    assert strategy.forecast(strategy.ask()) is None
    run(strategy, DepthEvaluator(space), 8)
    asked = strategy.ask()
    forecasts = strategy.forecast(asked)
    assert forecasts is not None and len(forecasts) == len(asked)
    truth = np.log([1 - depth_metrics(space, a)["val_accuracy"] for a in asked])
    means = np.array([f.log_error for f in forecasts])
    spread = np.array([f.observed_deviation for f in forecasts])
    assert (np.abs(truth - means) < 4 * spread).all()
    assert all(f.observed_deviation > f.deviation > 0 and f.error == np.exp(f.log_error) for f in forecasts)
    assert make_strategy("random", space, PROBLEM, population=4, seed=0).forecast(asked) is None


@pytest.mark.slow
def test_a_feature_that_tells_the_accuracy_is_used_and_asked_of_few() -> None:
    space = DepthSpace((4, 5, 6), 6)  # 54,432 architectures: not looked at as a whole
    asked: list[Arch] = []

    def features_of(archs: Sequence[Arch]) -> np.ndarray:
        asked.extend(archs)
        return np.array([[np.log(1 - depth_metrics(space, a)["val_accuracy"])] for a in archs])

    found = {}
    for features in (None, features_of):
        strategy = make(space, population=5, features_of=features)
        run(strategy, DepthEvaluator(space), 6)
        found[features is None] = strategy.history.hypervolumes()[-1]["value"]
    assert found[False] >= found[True]
    assert len(asked) == len(set(asked)) < 20 + 30 + 6 * 64


@pytest.mark.parametrize("columns", [np.zeros(3), np.full((8, 1), np.nan)])
def test_features_that_cannot_be_used_are_named(columns: np.ndarray) -> None:
    space = DepthSpace()
    strategy = make(space, features_of=lambda archs: np.resize(columns, (len(archs), *columns.shape[1:])))
    with pytest.raises(HwnasError, match=r"one row per architecture|not finite"):
        run(strategy, DepthEvaluator(space), 3)


def test_what_is_pending_counts() -> None:
    """Two workers: the second is not sent next to the first."""
    space = DepthSpace()
    strategy = make(space, population=6)
    run(strategy, DepthEvaluator(space), 3)
    alone = strategy.ask(1)
    beside = strategy.ask(1)
    assert beside != alone
    assert make_batch(space, 2, strategy) == alone + beside


def make_batch(space: Space, n: int, like: Generational) -> list[Arch]:
    """What a strategy with the same trials asks at once."""
    again = make(space, population=n)
    again.restore([t.to_json() for t in like.history.trials])
    return again.ask()


@pytest.mark.slow
def test_a_soft_budget_is_used_where_it_pays_and_never_beyond_its_margin() -> None:
    space, limit, margin = DepthSpace((4, 5, 6), 4), 12.0, 4.0
    problem = Problem.parse(["val_accuracy", "latency_ms"], [Budget("latency_ms", limit, margin)])
    strategy = make(space, problem, population=5)
    run(strategy, DepthEvaluator(space), 12)
    spent = np.array([t.metrics["latency_ms"] for t in strategy.history.trials])
    assert spent.max() <= limit + margin and (spent > limit).any()
    # Judged by doubled errors, a slow one must be far better to be on the front.
    slow = [t for t in strategy.history.front() if t.metrics["latency_ms"] > limit]
    best = max(t.metrics["val_accuracy"] for t in strategy.history.front() if t not in slow)
    for trial in slow:
        times = 1 + (trial.metrics["latency_ms"] - limit) / margin
        assert times * (1 - trial.metrics["val_accuracy"]) < 1 - best
