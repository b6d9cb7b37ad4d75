"""NSGA-II: the contract, the true front, better than random, and who may breed."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from hwnas.core.budget import Budget
from hwnas.core.choice import Arch, Choice
from hwnas.core.space import Space
from hwnas.evaluators import EvaluationFailed
from hwnas.front import Problem, make_strategy, run
from hwnas.front.breeding import tournament
from hwnas.front.optuna_trials import Codec
from targets.errors import UsageError
from tests.support.strategies import DepthEvaluator, DepthSpace, StrategyContract, depth_costs, depth_metrics


class TestNsga2(StrategyContract):
    name = "nsga2"


class TestNsga2Filtered(StrategyContract):
    name = "nsga2"
    options: Mapping[str, Any] = {"oversample": 5}
    knows_costs = True


@pytest.mark.slow
def test_children_that_a_surrogate_filters_bring_more_than_all_of_them() -> None:
    space = DepthSpace((5, 6, 7), 5)
    problem = Problem.parse(["val_accuracy", "latency_ms"])
    better = []
    for seed in range(4):
        final = []
        for oversample in (5, 1):
            strategy = make_strategy(
                "nsga2", space, problem, population=12, seed=seed,
                costs_of=depth_costs(space), oversample=oversample,
            )  # fmt: skip
            run(strategy, DepthEvaluator(space), 8)
            final.append(strategy.history.hypervolumes()[-1]["value"])
        better.append(final[0] - final[1])
    assert min(better) > 0


def test_filtering_needs_costs_and_a_number_from_1() -> None:
    problem = Problem.parse(["val_accuracy", "latency_ms"])
    with pytest.raises(UsageError, match="strategy 'nsga2' needs the costs"):
        make_strategy("nsga2", WIDE, problem, population=4, seed=0, oversample=5)
    with pytest.raises(UsageError, match="oversample must be at least 1, got 0"):
        make_strategy("nsga2", WIDE, problem, population=4, seed=0, oversample=0)


def test_the_better_of_two_drawn_survivors_is_a_parent_three_times_of_four() -> None:
    """Of two survivors both draws miss the best with probability 1/4."""
    parents = np.array(tournament(2, 4000, np.random.default_rng(0)))
    assert parents.mean() == pytest.approx(0.25, abs=0.015)


def test_a_population_of_one_cannot_breed() -> None:
    with pytest.raises(UsageError, match="at least 2, got 1"):
        make_strategy("nsga2", WIDE, Problem.parse(["val_accuracy"]), population=1, seed=0)


def true_front(space: DepthSpace, limit_ms: float) -> set[str]:
    """By brute force over all pairs of the whole space."""
    archs = [a for a in space.enumerate() if depth_metrics(space, a)["latency_ms"] <= limit_ms]
    found = [depth_metrics(space, a) for a in archs]
    points = np.array([(m["latency_ms"], -m["val_accuracy"]) for m in found])
    keep = [not (((points <= p).all(1)) & ((points < p).any(1))).any() for p in points]
    return {space.key(a) for a, k in zip(archs, keep, strict=True) if k}


@pytest.mark.slow
def test_with_enough_evaluations_it_finds_the_true_front_under_a_budget() -> None:
    space = DepthSpace()
    problem = Problem.parse(["val_accuracy", "latency_ms"], [Budget("latency_ms", 14.0)])
    truth = true_front(space, 14.0)
    strategy = make_strategy("nsga2", space, problem, population=40, seed=1)
    run(strategy, DepthEvaluator(space), 16)
    assert len(truth) > 10
    assert {r.arch for r in strategy.history.front()} == truth


@pytest.mark.slow
def test_its_hypervolume_beats_random_search() -> None:
    space = DepthSpace((5, 6, 7), 5)
    problem = Problem.parse(["val_accuracy", "latency_ms"], [Budget("latency_ms", 30.0)])
    better = []
    for seed in range(6):
        final = []
        for name in ("nsga2", "random"):
            strategy = make_strategy(name, space, problem, population=16, seed=seed)
            run(strategy, DepthEvaluator(space), 10)
            final.append(strategy.history.hypervolumes()[-1]["value"])
        better.append(final[0] - final[1])
    assert min(better) > 0


WIDE = Space("wide", [Choice(f"layer{i}", tuple("abcdefgh")) for i in range(12)])
HERO: Arch = (7,) * 12


def test_the_genes_of_seeds_are_found_in_the_next_generation() -> None:
    """The seeds hold genes that no other parent has: seven dull ones without h, and one all h."""
    dull: list[Arch] = [tuple((i + j) % 7 for j in range(12)) for i in range(7)]
    problem = Problem.parse(["val_accuracy", "latency_ms"])
    strategy = make_strategy("nsga2", WIDE, problem, population=8, seed=0, seeds=[*dull, HERO])
    asked = strategy.ask()
    assert asked == [*dull, HERO]
    strategy.tell(asked, [{"val_accuracy": 0.9 if a == HERO else 0.1, "latency_ms": 1.0} for a in asked])
    bred = strategy.ask()
    # Mutation alone gives one h in 8 children (96 genes, each redrawn with 1/12, h with 1/8): six are
    # seen with a probability of 0.0006.
    assert sum(child.count(7) for child in bred) >= 6


def test_failed_and_over_budget_architectures_do_not_crowd_out_feasible_ones() -> None:
    """A feasible architecture survives any number of better ones beyond the budget."""
    problem = Problem.parse(["val_accuracy", "latency_ms"], [Budget("latency_ms", 2.0)])
    dull: list[Arch] = [tuple((i + j) % 7 for j in range(12)) for i in range(7)]
    strategy = make_strategy("nsga2", WIDE, problem, population=8, seed=0, seeds=[*dull, HERO])
    asked = strategy.ask()
    found = [
        {"val_accuracy": 0.1, "latency_ms": 2.0} if a == HERO else {"val_accuracy": 0.9, "latency_ms": 2.1}
        for a in asked
    ]
    strategy.tell(asked, found)
    assert sum(child.count(7) for child in strategy.ask()) >= 6  # as above
    assert [r.arch for r in strategy.history.front()] == [WIDE.key(HERO)]


def test_constraints_are_recorded_for_every_finished_trial() -> None:
    """Optuna 5 takes a trial without constraints for feasible (#6774), so ours always carry theirs."""
    space = DepthSpace()
    problem = Problem.parse(["val_accuracy"], [Budget("latency_ms", 9.0), Budget("macs", 5e6)])
    strategy = make_strategy("nsga2", space, problem, population=8, seed=0)
    run(strategy, DepthEvaluator(space), 2)
    codec = Codec(space)
    for evaluated in strategy.history.trials:
        trial = codec.trial(evaluated, evaluated.generation)
        assert set(trial.constraints) == {"latency_ms", "macs"}
        assert all(v <= 0 for v in trial.constraints.values()) == evaluated.feasible
        assert trial.constraints["latency_ms"] == pytest.approx(evaluated.metrics["latency_ms"] / 9.0 - 1)


def test_a_generation_in_which_all_failed_is_followed_by_random_ones() -> None:
    space, problem = DepthSpace(), Problem.parse(["val_accuracy", "latency_ms"])
    strategy = make_strategy("nsga2", space, problem, population=4, seed=0)
    asked = strategy.ask()
    strategy.tell(asked, [EvaluationFailed("out of memory")] * 4)
    again = strategy.ask()
    assert len(again) == 4 and set(again).isdisjoint(asked)


SCRIPT = """
import json
from hwnas.front import Problem, make_strategy, run
from targets.errors import UsageError
from tests.support.strategies import DepthEvaluator, DepthSpace
space = DepthSpace()
strategy = make_strategy("nsga2", space, Problem.parse(["val_accuracy", "latency_ms"]), population=8, seed=5)
run(strategy, DepthEvaluator(space), 5)
print(json.dumps([r.to_json() for r in strategy.history.trials]))
"""


@pytest.mark.slow
def test_another_process_with_another_hash_seed_gives_the_same_rows() -> None:
    env = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONOPTIMIZE": "1"}
    out = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True)
    space = DepthSpace()
    strategy = make_strategy(
        "nsga2", space, Problem.parse(["val_accuracy", "latency_ms"]), population=8, seed=5
    )
    run(strategy, DepthEvaluator(space), 5)
    assert json.loads(out.stdout) == [r.to_json() for r in strategy.history.trials]
