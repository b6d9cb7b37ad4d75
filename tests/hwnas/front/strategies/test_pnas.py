"""PNAS: the contract, its rounds, and that a predictor that is right finds the best."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from hwnas.core.choice import Choice
from hwnas.core.space import Space
from hwnas.front import Problem, make_strategy, run
from targets.errors import UsageError
from tests.support.strategies import DepthEvaluator, DepthSpace, StrategyContract, depth_costs, depth_metrics

ACCURACY = Problem.parse(["val_accuracy"])


class TestPnas(StrategyContract):
    name = "pnas"
    options: Mapping[str, Any] = {"beam": 8, "predictor_epochs": 5}
    knows_costs = True

    def test_killed_at_any_generation_and_restored_it_goes_on_the_same(
        self, space: DepthSpace, problem: Problem
    ) -> None:
        """In a space whose first round is over after two generations of 8."""
        super().test_killed_at_any_generation_and_restored_it_goes_on_the_same(
            DepthSpace((2, 3, 4, 5), 4), problem
        )


class TestPnasRecurrent(TestPnas):
    options: Mapping[str, Any] = {"beam": 8, "predictor_epochs": 5, "predictor": "lstm"}


def test_rounds_are_complete_before_the_next_begins_and_grow_what_was_evaluated() -> None:
    space = DepthSpace((2, 3, 4), 4)
    strategy = make_strategy("pnas", space, ACCURACY, population=8, seed=0, beam=8, predictor_epochs=5)
    run(strategy, DepthEvaluator(space), 5)
    archs = [space.from_string(t.arch) for t in strategy.history.trials]
    sizes = [space.size_of(a) for a in archs]
    assert sizes == [1] * 16 + [2] * 8 + [3] * 16  # 4^2 of size 1, then the beam, then on and on
    evaluated = {a[1:4] for a in archs[16:24]}
    assert all(a[1:4] in evaluated for a in archs[24:])


@pytest.mark.slow
def test_it_finds_a_better_one_than_chance_with_half_of_the_evaluations() -> None:
    space = DepthSpace((2, 3, 4, 5), 4)
    rng, best = np.random.default_rng(0), []
    for seed in range(3):
        strategy = make_strategy("pnas", space, ACCURACY, population=8, seed=seed, beam=8)
        run(strategy, DepthEvaluator(space), 5)
        best.append(max(t.metrics["val_accuracy"] for t in strategy.history.trials))
    every = np.array([depth_metrics(space, a)["val_accuracy"] for a in space.enumerate()])
    chance = [rng.choice(every, 80, replace=False).max() for _ in range(200)]
    assert np.mean(best) > np.mean(chance)


def test_what_exceeds_a_budget_comes_last() -> None:
    from hwnas.core.budget import Budget

    space = DepthSpace((2, 3), 4)
    problem = Problem.parse(["val_accuracy"], [Budget("latency_ms", 8.0)])
    strategy = make_strategy(
        "pnas", space, problem, population=8, seed=0, beam=8, predictor_epochs=5, costs_of=depth_costs(space)
    )
    run(strategy, DepthEvaluator(space), 4)
    second = [t for t in strategy.history.trials if t.origin == "size 2"]
    inside = sum(
        depth_metrics(space, a)["latency_ms"] <= 8 and space.size_of(a) == 2 for a in space.enumerate()
    )
    assert inside >= len(second) == 16 and all(t.feasible for t in second)


def test_what_cannot_be_is_refused() -> None:
    flat = Space("flat", [Choice("a", ("x", "y"))])
    with pytest.raises(UsageError, match="those of space flat do not grow"):
        make_strategy("pnas", flat, ACCURACY, population=4, seed=0)
    with pytest.raises(UsageError, match="beam must be at least 1, got 0"):
        make_strategy("pnas", DepthSpace(), ACCURACY, population=4, seed=0, beam=0)
    with pytest.raises(UsageError, match="mlp or lstm, got 'tree'"):
        make_strategy("pnas", DepthSpace(), ACCURACY, population=4, seed=0, predictor="tree")
