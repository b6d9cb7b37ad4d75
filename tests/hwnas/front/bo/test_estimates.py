"""Picks by the posterior mean, and repeats of what cannot be told apart."""

import itertools

import numpy as np

from hwnas.front.bo import BayesianSearch, Observation, Sought, estimated_front, estimates, pick, repeats
from tests.hwnas.front.bo.test_search import METRICS, SPACE, error, follow, price, search


def noisy(n: int, noise: float) -> tuple[BayesianSearch, list[Observation]]:
    """A search, and what it observed with that much noise in the log error."""
    method, rng = search(), np.random.default_rng(0)
    observed = follow(method, n, 5)
    return method, [
        Observation(o.arch, error(o.arch) * float(np.exp(noise * rng.normal()))) for o in observed
    ]


def test_estimates_are_nearer_to_the_truth_than_what_was_observed() -> None:
    method, observed = noisy(60, 0.4)
    found = {e.arch: e for e in estimates(method, observed)}
    truth = np.log([error(o.arch) for o in observed])
    seen = np.log([o.error for o in observed if o.error is not None])
    smooth = np.log([found[o.arch].error for o in observed])
    assert np.abs(smooth - truth).mean() < 0.8 * np.abs(seen - truth).mean()
    inside = [found[o.arch].low <= error(o.arch) <= found[o.arch].high for o in observed]
    assert np.mean(inside) > 0.8


def test_the_front_falls_in_error_and_a_pick_keeps_its_limit() -> None:
    method, observed = noisy(40, 0.0)
    front = estimated_front(method, observed)
    assert [e.costs["latency_ms"] for e in front] == sorted(e.costs["latency_ms"] for e in front)
    assert all(a.error > b.error for a, b in itertools.pairwise(front))
    limit = float(np.median([METRICS[o.arch]["latency_ms"] for o in observed]))
    chosen = pick(method, observed, {"latency_ms": limit})
    assert chosen is not None and chosen.costs["latency_ms"] <= limit
    others = [e for e in estimates(method, observed) if e.costs["latency_ms"] <= limit]
    assert chosen.error == min(e.error for e in others)
    assert pick(method, observed, {"latency_ms": 0.1}) is None


def test_repeats_are_of_the_front_and_narrow_its_intervals() -> None:
    method, observed = noisy(40, 0.3)
    again = repeats(method, observed, 3)
    front = {e.arch: e for e in estimated_front(method, observed)}
    assert 1 <= len(again) <= 3 and set(again) <= set(front)
    more = [*observed, *(Observation(arch, error(arch)) for arch in again for _ in range(5))]
    after = {e.arch: e for e in estimates(method, more)}
    before = {e.arch: e for e in estimates(method, observed)}
    for arch in again:
        assert np.log(after[arch].high / after[arch].low) < np.log(before[arch].high / before[arch].low)


def test_intervals_that_do_not_cross_are_not_repeated() -> None:
    task = Sought(known=("latency_ms",), limits={}, worst={})
    method = BayesianSearch(SPACE, price, task, seed=0)
    archs = sorted(METRICS, key=lambda a: METRICS[a]["latency_ms"])[::400]
    observed = [Observation(arch, 0.8 * 0.5**i) for i, arch in enumerate(archs) for _ in range(40)]
    assert repeats(method, observed, 5) == []
