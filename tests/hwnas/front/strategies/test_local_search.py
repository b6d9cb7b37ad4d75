"""Pareto local search: the contract, and that it restarts only when every neighbour of the front is known."""

import itertools

import pytest

from hwnas.core.choice import NONE, Arch, Choice
from hwnas.core.space import Space
from hwnas.front import Problem, make_strategy, run
from hwnas.front.neighbours import neighbours
from hwnas.spaces import load_space
from tests.support.strategies import DepthEvaluator, DepthSpace, StrategyContract, depth_metrics


class TestLocalSearch(StrategyContract):
    name = "local-search"


def dominates(a: dict[str, float], b: dict[str, float]) -> bool:
    better = a["val_accuracy"] >= b["val_accuracy"], a["latency_ms"] <= b["latency_ms"]
    equal = a["val_accuracy"] == b["val_accuracy"] and a["latency_ms"] == b["latency_ms"]
    return all(better) and not equal


def one_step(space: DepthSpace, a: Arch, b: Arch) -> bool:
    return sum(x != y for x, y in zip(a, b, strict=True)) == 1


@pytest.mark.parametrize("seed", range(3))
def test_every_neighbour_of_the_front_is_evaluated_before_a_restart(seed: int) -> None:
    """By brute force over the whole space, for each restart of a search of 40 generations."""
    space = DepthSpace((3, 4), 4)
    problem = Problem.parse(["val_accuracy", "latency_ms"])
    strategy = make_strategy("local-search", space, problem, population=6, seed=seed)
    run(strategy, DepthEvaluator(space), 40)
    everything = list(itertools.product(*(range(int(n)) for n in space.n_options)))
    metrics = {space.key(a): depth_metrics(space, a) for a in everything}
    trials = strategy.history.trials
    restarts = [t for t in trials if t.origin == "random" and t.generation > 0]
    assert restarts and restarts[0].number > 30
    for restart in restarts:
        known = [t.arch for t in trials if t.generation < restart.generation]
        front = [k for k in known if not any(dominates(metrics[o], metrics[k]) for o in known)]
        before = {t.arch for t in trials if t.number < restart.number}
        for member in front:
            arch = space.from_string(member)
            assert {space.key(a) for a in everything if one_step(space, arch, a)} <= before | {member}


def test_with_one_objective_it_climbs_to_a_local_optimum_and_restarts() -> None:
    """Accuracy falls with the distance from one architecture: no other is a local optimum."""
    space = DepthSpace((5,), 4)
    target: Arch = (0, 2, 3, 1, 0, 2)
    strategy = make_strategy("local-search", space, Problem.parse(["val_accuracy"]), population=1, seed=0)
    step = 0
    while strategy.history.keys.isdisjoint({space.key(target)}):
        archs = strategy.ask()
        equal = [sum(x == y for x, y in zip(a, target, strict=True)) for a in archs]
        strategy.tell(archs, [{"val_accuracy": n / 6} for n in equal])
        step += 1
    # At most five steps lead there, each through at most 15 neighbours, after one start.
    assert step <= 1 + 5 * 15
    assert [t.origin for t in strategy.history.trials] == ["random"] + ["neighbour"] * (step - 1)


def test_a_neighbour_changes_one_choice() -> None:
    space = Space("free", load_space("nasbench201", image_size=32, in_channels=3, n_classes=10).choices)
    arch: Arch = (1, 2, 3, 4, 0, 1)
    assert len(set(neighbours(space, arch))) == 6 * 4
    assert all(sum(x != y for x, y in zip(a, arch, strict=True)) == 1 for a in neighbours(space, arch))


def test_a_neighbour_of_a_cell_keeps_the_number_of_its_edges() -> None:
    edges = [Choice(f"edge{i}", (NONE, "a", "b"), node="n", keep=2) for i in range(4)]
    space = Space("node", edges)
    arch: Arch = (1, 2, 0, 0)
    near = set(neighbours(space, arch))
    # Two operations can change to the other one; either edge can move to two places with two operations.
    assert len(near) == 2 + 2 * 2 * 2
    valid = [a for a in itertools.product(range(3), repeat=4) if space.valid(a)]
    assert near <= set(valid) and arch not in near
