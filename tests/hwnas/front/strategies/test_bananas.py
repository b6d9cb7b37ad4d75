"""BANANAS: the contract, and that its ensemble chooses better than chance."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from hwnas.front import Problem, make_strategy, run
from targets.errors import UsageError
from tests.support.strategies import DepthEvaluator, DepthSpace, StrategyContract, depth_costs

PROBLEM = Problem.parse(["val_accuracy", "latency_ms"])


class TestBananas(StrategyContract):
    name = "bananas"
    options: Mapping[str, Any] = {"predictor_epochs": 5, "candidates": 30}
    knows_costs = True


@pytest.mark.slow
def test_with_60_evaluations_it_is_ahead_of_chance() -> None:
    space = DepthSpace((5, 6, 7), 5)
    better = []
    for seed in range(2):
        final = []
        for name in ("bananas", "random"):
            strategy = make_strategy(
                name, space, PROBLEM, population=10, seed=seed, costs_of=depth_costs(space)
            )
            run(strategy, DepthEvaluator(space), 6)
            final.append(strategy.history.hypervolumes()[-1]["value"])
        better.append(final[0] - final[1])
    assert np.min(better) > 0


@pytest.mark.parametrize("option", ["n_start", "candidates", "parents", "predictor_epochs"])
def test_options_begin_at_1(option: str) -> None:
    space = DepthSpace()
    nothing: dict[str, Any] = {option: 0}
    with pytest.raises(UsageError, match=f"'bananas': {option} must be at least 1"):
        make_strategy("bananas", space, PROBLEM, population=4, seed=0, costs_of=depth_costs(space), **nothing)


def test_it_needs_the_costs_that_are_objectives() -> None:
    with pytest.raises(UsageError, match=r"'bananas' needs the costs.*\(latency_ms\)"):
        make_strategy("bananas", DepthSpace(), PROBLEM, population=4, seed=0)
