"""Proposals: budgets, duplicates, batches, determinism, small spaces, and how good they are."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import moocore
import numpy as np
import pytest

from hwnas.core.choice import Arch, Choice
from hwnas.core.space import Space
from hwnas.front.bo import BayesianSearch, Observation, PoolSize, Sought
from hwnas.front.bo.candidates import coarse_to_fine
from hwnas.front.bo.surrogate import refits
from targets.errors import UsageError
from tests.support.strategies import DepthSpace, depth_metrics

SPACE = DepthSpace((4, 5, 6), 4)
METRICS = {SPACE.canonical(a): depth_metrics(SPACE, a) for a in SPACE.enumerate()}
LATENCY = Sought(known=("latency_ms",), limits={}, worst={})

WIDE = Space("wide", [Choice(f"c{i}", tuple("abcdefghij")) for i in range(12)])


def sums(archs: Sequence[Arch]) -> Mapping[str, np.ndarray]:
    return {"macs": np.array([1.0 + sum(a) for a in archs])}


def price(archs: Sequence[Arch]) -> Mapping[str, np.ndarray]:
    return {m: np.array([METRICS[a][m] for a in archs]) for m in ("latency_ms", "macs")}


def error(arch: Arch) -> float:
    return 1 - METRICS[arch]["val_accuracy"]


def search(task: Sought = LATENCY, seed: int = 0, **settings: Any) -> BayesianSearch:
    return BayesianSearch(SPACE, price, task, seed=seed, **settings)


def follow(method: BayesianSearch, n: int, batch: int, seen: Sequence[Observation] = ()) -> list[Observation]:
    observed = list(seen)
    while len(observed) < n:
        asked = method.propose(observed, min(batch, n - len(observed)))
        assert asked
        observed += [Observation(arch, error(arch)) for arch, _ in asked]
    return observed


def volume(archs: Sequence[Arch], limit_ms: float) -> float:
    points = [(METRICS[a]["latency_ms"], error(a)) for a in archs]
    return float(moocore.hypervolume(np.array(points), ref=np.array([limit_ms, 1.0])))


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 7])
def test_no_architecture_comes_twice(batch: int) -> None:
    archs = [o.arch for o in follow(search(), 50, batch)]
    assert len(set(archs)) == 50 and all(a == SPACE.canonical(a) for a in archs)


@pytest.mark.slow
@pytest.mark.parametrize(
    "limits", [{"latency_ms": 12.0}, {"macs": 9e6}, {"latency_ms": 9.0, "macs": 8e6}], ids=str
)
def test_no_budget_is_ever_exceeded(limits: dict[str, float]) -> None:
    task = Sought(known=("latency_ms",), limits=limits, worst={})
    over = max(METRICS, key=lambda a: METRICS[a]["latency_ms"])
    for observed in (follow(search(task, seed, seeds=[over]), 40, 5) for seed in range(2)):
        for o in observed:
            assert all(METRICS[o.arch][m] <= limit for m, limit in limits.items())


def test_a_corner_of_the_space_is_reached_that_no_random_architecture_hits() -> None:
    """All 10^12 architectures but about one in 10^7 exceed the budget."""
    task = Sought(known=("macs",), limits={"macs": 15.0}, worst={})
    asked = BayesianSearch(WIDE, sums, task, seed=0).propose([], 8)
    assert len(asked) == 8 and all(sum(a) <= 14 for a, _ in asked)


def test_the_first_ones_are_spread_and_the_largest_of_their_bin() -> None:
    space = DepthSpace((3, 4), 4)
    rows = [depth_metrics(space, a) for a in space.enumerate()]

    def costs(archs: Sequence[Arch]) -> Mapping[str, np.ndarray]:
        own = [depth_metrics(space, a) for a in archs]
        return {m: np.array([r[m] for r in own]) for m in ("latency_ms", "macs")}

    asked = BayesianSearch(space, costs, LATENCY, seed=0).propose([], 10)
    assert {origin for _, origin in asked} == {"start"}
    logs = np.log([r["latency_ms"] for r in rows])
    edges = np.linspace(logs.min(), logs.max() + 1e-9, 11)
    latency_ms = sorted(depth_metrics(space, a)["latency_ms"] for a, _ in asked)
    assert len(latency_ms) == 10
    for low, high in itertools.pairwise(edges):
        own = [r for r, log in zip(rows, logs, strict=True) if low <= log < high]
        if own:
            largest = max(r["macs"] for r in own)
            assert {r["latency_ms"] for r in own if r["macs"] == largest} & set(latency_ms)


def test_the_first_ones_are_spread_where_random_architectures_are_alike() -> None:
    """Of 10^12 sums of twelve numbers nearly all are close to the middle."""
    task = Sought(known=("macs",), limits={"macs": 55.0}, worst={})
    macs = sorted(
        float(sums([a])["macs"][0]) for a, _ in BayesianSearch(WIDE, sums, task, seed=0).propose([], 5)
    )
    assert macs[0] <= 3 and macs[-1] > 45
    assert all(b <= 4 * a for a, b in itertools.pairwise(macs))


def test_what_follows_seeds_at_both_ends_of_the_costs_is_in_the_middle() -> None:
    """Costs of 1 to 55 in five bins of equal ratio: the third holds the middle."""
    task = Sought(known=("macs",), limits={"macs": 55.0}, worst={})
    ends: list[Arch] = [(0,) * 12, (9,) * 6 + (0,) * 6]
    *seeds, (arch, origin) = BayesianSearch(WIDE, sums, task, seed=0, seeds=ends).propose([], 3)
    assert seeds == [(end, "seed") for end in ends] and origin == "start"
    assert 55**0.4 <= 1 + sum(arch) <= 55**0.6


def test_differences_that_chance_explains_are_not_believed() -> None:
    """Errors of 3 to 9 of 30 images, each as likely as the others: a posterior mean near their average."""
    rng = np.random.default_rng(0)
    archs = [archs for archs in list(METRICS)[::60]]
    observed = [
        Observation(arch, int(k) / 30)
        for arch, k in zip(archs, rng.binomial(30, 0.2, len(archs)), strict=True)
    ]
    sure, careful = search().model(observed), search(n_images=30).model(observed)
    assert np.exp(careful.mean).std() < 0.5 * np.exp(sure.mean).std()


def test_seeds_come_first_and_count_to_the_start() -> None:
    seeds = [(0, 1, 1, 1, 1, 0, 0), (0, 1, 1, 1, 1, 3, 3), (2, 3, 3, 3, 3, 3, 3)]
    asked = search(seeds=seeds).propose([], 5)
    assert [origin for _, origin in asked] == ["seed", "seed", "start", "start", "start"]
    observed = follow(search(seeds=seeds), 10, 5)
    assert {origin for _, origin in search(seeds=seeds).propose(observed, 5)} == {"model"}


@pytest.mark.slow
def test_the_same_seed_proposes_the_same_and_another_something_else() -> None:
    large = DepthSpace((6, 7), 5)  # too large to be looked at as a whole

    def costs(archs: Sequence[Arch]) -> Mapping[str, np.ndarray]:
        return {"latency_ms": np.array([depth_metrics(large, a)["latency_ms"] for a in archs])}

    def ten(seed: int) -> list[Arch]:
        method = BayesianSearch(large, costs, LATENCY, seed=seed, pool=PoolSize(200, 20, 20))
        observed: list[Observation] = []
        while len(observed) < 24:
            asked = method.propose(observed, 4)
            observed += [Observation(a, 1 - depth_metrics(large, a)["val_accuracy"]) for a, _ in asked]
        return [o.arch for o in observed]

    assert ten(3) == ten(3) != ten(4)


@pytest.mark.slow
@pytest.mark.parametrize("at", [3, 10, 23])
def test_a_search_that_is_told_all_at_once_goes_on_as_one_that_followed(at: int) -> None:
    whole = follow(search(), 35, 4)
    assert follow(search(), 35, 4, whole[: at - at % 4]) == whole


@pytest.mark.slow
def test_pending_ones_are_neither_proposed_nor_wasted() -> None:
    """What one batch of six holds also comes from six workers that ask one after the other."""
    observed = follow(search(), 20, 5)
    batch = [arch for arch, _ in search().propose(observed, 6)]
    one_by_one: list[Arch] = []
    for _ in range(6):
        one_by_one += [arch for arch, _ in search().propose(observed, 1, pending=one_by_one)]
    assert one_by_one == batch and len(set(batch)) == 6


def test_failures_are_neither_repeated_nor_learnt_from() -> None:
    observed = [
        Observation(o.arch, None if i % 3 else o.error) for i, o in enumerate(follow(search(), 24, 6))
    ]
    asked = search().propose(observed, 6)
    assert {origin for _, origin in asked} == {"model"}
    assert {a for a, _ in asked}.isdisjoint(o.arch for o in observed)
    nothing = [Observation(o.arch, None) for o in observed]
    assert {origin for _, origin in search().propose(nothing, 6)} == {"random"}


@pytest.mark.parametrize("known", [(), ("latency_ms",), ("latency_ms", "macs")])
def test_a_tiny_space_is_used_up(known: tuple[str, ...]) -> None:
    space = DepthSpace((1, 2), 3)

    def costs(archs: Sequence[Arch]) -> Mapping[str, np.ndarray]:
        rows = [depth_metrics(space, a) for a in archs]
        return {m: np.array([r[m] for r in rows]) for m in ("latency_ms", "macs")}

    method = BayesianSearch(space, costs, Sought(known=known, limits={}, worst={}), seed=0)
    observed: list[Observation] = []
    while asked := method.propose(observed, 5):
        observed += [Observation(a, 1 - depth_metrics(space, a)["val_accuracy"]) for a, _ in asked]
    assert {o.arch for o in observed} == {space.canonical(a) for a in space.enumerate()}


def test_nothing_inside_the_budgets_is_nothing() -> None:
    task = Sought(known=("latency_ms",), limits={"latency_ms": 0.1}, worst={})
    assert search(task).propose([], 5) == []


def test_costs_that_are_not_known_are_named() -> None:
    with pytest.raises(UsageError, match="the costs lack energy_mj"):
        search(Sought(known=("energy_mj",), limits={}, worst={})).propose([], 2)


@pytest.mark.slow
@pytest.mark.parametrize("limits", [{}, {"latency_ms": 14.0}], ids=str)
def test_it_is_near_the_true_front_with_a_hundredth_of_the_evaluations(limits: dict[str, float]) -> None:
    """Of 5,376 architectures; random search is more than three times as far away."""
    end = limits.get("latency_ms", max(m["latency_ms"] for m in METRICS.values()))
    task = Sought(known=("latency_ms",), limits=limits, worst={})
    best = volume(list(METRICS), end)
    rng = np.random.default_rng(0)
    inside = [a for a in METRICS if METRICS[a]["latency_ms"] <= end]
    gaps, by_chance = [], []
    for seed in range(3):
        gaps.append(1 - volume([o.arch for o in follow(search(task, seed), 54, 5)], end) / best)
        drawn = [inside[i] for i in rng.choice(len(inside), 54, replace=False)]
        by_chance.append(1 - volume(drawn, end) / best)
    assert np.mean(gaps) < 0.3 * np.mean(by_chance)


def test_coarse_to_fine() -> None:
    assert coarse_to_fine(0) == [] and coarse_to_fine(1) == [0]
    assert coarse_to_fine(5) == [0, 4, 2, 1, 3]
    for n in range(40):
        assert sorted(coarse_to_fine(n)) == list(range(n))


def test_refits_become_rare() -> None:
    assert refits(3) == [3] and refits(12) == [5, 10]
    assert len(refits(800)) < 30
