"""The strategy in the loop: the contract, and that what it is asked is what it can answer."""

from collections.abc import Sequence

import numpy as np
import pytest

from hwnas.core.budget import Budget
from hwnas.core.mix import Arch
from hwnas.core.space import Space
from hwnas.front import Generational, Goals, run
from hwnas.front.bo import BayesianStrategy, Costs, bo
from hwnas.front.bo.strategy import split_goals
from targets.errors import UsageError
from tests.support.strategies import DepthEvaluator, DepthSpace, StrategyContract, depth_metrics


def costs_of(space: Space) -> Costs:
    def costs(archs: Sequence[Arch]) -> dict[str, np.ndarray]:
        rows = [depth_metrics(space, a) for a in archs]  # type: ignore[arg-type]
        return {m: np.array([r[m] for r in rows]) for m in ("latency_ms", "macs")}

    return costs


class TestBayesianStrategy(StrategyContract):
    def make(
        self, space: Space, goals: Goals, *, population: int = 8, seed: int = 0, seeds: Sequence[Arch] = ()
    ) -> Generational:
        return bo(space, goals, costs_of(space), population=population, seed=seed, seeds=seeds)

    def test_seeds_come_first_and_once(self, space: DepthSpace, goals: Goals) -> None:
        """As in the contract, but that the others are a start and not random."""
        seeds = [(0, 1, 1, 1, 0, 0), (0, 1, 1, 1, 3, 3), (2, 3, 3, 3, 3, 3)]
        strategy = self.make(space, goals, seeds=seeds)
        asked = strategy.ask()
        assert asked[:2] == [seeds[0], seeds[2]] and len(asked) == 8
        rows = strategy.tell(asked, DepthEvaluator(space)(asked))
        assert [r.origin for r in rows] == ["seed"] * 2 + ["start"] * 6


def test_budgets_are_kept_in_the_loop() -> None:
    space = DepthSpace()
    goals = Goals.parse(["val_accuracy", "latency_ms"], [Budget("latency_ms", 10.0), Budget("macs", 9e6)])
    strategy = bo(space, goals, costs_of(space), population=4, seed=0)
    assert run(strategy, DepthEvaluator(space), 10) == "generations"
    assert len(strategy.ledger.rows) == 40 and all(row.feasible for row in strategy.ledger.rows)
    assert [r.origin for r in strategy.ledger.rows[12:]] == ["model"] * 28


def test_what_the_budgets_exclude_is_not_missed() -> None:
    space = DepthSpace((1, 2), 3)
    limit = sorted(depth_metrics(space, a)["latency_ms"] for a in space.enumerate())[5]
    goals = Goals.parse(["val_accuracy", "latency_ms"], [Budget("latency_ms", limit)])
    strategy = bo(space, goals, costs_of(space), population=4, seed=0)
    assert run(strategy, DepthEvaluator(space), 10) == "exhausted"
    inside = {space.key(a) for a in space.enumerate() if depth_metrics(space, a)["latency_ms"] <= limit}
    assert {r.arch for r in strategy.ledger.rows} == inside


@pytest.mark.parametrize("objectives", [["latency_ms", "macs"], ["val_accuracy", "val_loss", "latency_ms"]])
def test_it_predicts_exactly_one_objective(objectives: list[str]) -> None:
    with pytest.raises(UsageError, match="exactly one objective"):
        split_goals(Goals.parse(objectives))


def test_costs_of_other_targets_are_known_too() -> None:
    predicted, task = split_goals(Goals.parse(["val_loss", "latency_ms", "latency_ms@phone"]))
    assert predicted == "val_loss" and task.known == ("latency_ms", "latency_ms@phone")


def test_the_loss_is_an_error_as_it_is() -> None:
    space = DepthSpace()
    goals = Goals.parse(["val_loss", "latency_ms"])
    strategy = bo(space, goals, costs_of(space), population=4, seed=0)

    def evaluate(archs: Sequence[Arch]) -> list[object]:
        rows = [depth_metrics(space, a) for a in archs]
        return [{"val_loss": -np.log(r["val_accuracy"]), "latency_ms": r["latency_ms"]} for r in rows]

    run(strategy, evaluate, 5)
    assert isinstance(strategy, BayesianStrategy)
    first, row = strategy.observations()[0], strategy.ledger.rows[0]
    assert first.error == row.metrics["val_loss"] and space.key(first.arch) == row.arch
