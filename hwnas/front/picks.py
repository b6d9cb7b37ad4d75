"""Which points of a front are trained, exported and measured: few, and spread over its range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwnas.core.arrays import Array, Indices
from targets.errors import UsageError

from .pareto import hypervolume, knee, ranks
from .preference import find_preference

_REFERENCE = (1.1, 1.1)
"""Beyond the ends of a front that runs from 0 to 1, so that they count too (Ishibuchi et al. 2018)."""

_DRAWS = 1000
"""Of the accuracies after the noise, the same for all points."""


@dataclass(frozen=True, slots=True)
class Pick:
    """One chosen point: its index in what was given, and why: fastest, knee, accurate, spread or gradient."""

    index: int
    why: str


def choose_picks(
    latency_ms: ArrayLike,
    accuracy: ArrayLike,
    n: int,
    prefer: str = "accuracy",
    noise: float = 0.0,
    latency_noise: float = 0.0,
) -> list[Pick]:
    """`n` points of the front of (latency, accuracy), fastest first. Both arrays: (points,).

    What `prefer` says (a name of `PREFERENCES`), the most accurate, the fastest, the knee; then always the
    point with which most picks are expected to stand, dominated by no other, once each accuracy has changed
    by a normal deviation of `noise` and each log latency by one of `latency_noise`. Where that is the same,
    one of an earlier front, then of more hypervolume, by log latency and accuracy scaled to the front, then
    the farthest in log latency. So fewer than `n` come back only when fewer are given. Of equal points the
    first is meant. Give feasible ones only.

    Greedy subsets: Guerreiro, Fonseca and Paquete 2016, arXiv 1508.03969.
    """
    latency, accurate = np.asarray(latency_ms, dtype=np.float64), np.asarray(accuracy, dtype=np.float64)
    if n < 1 or latency.ndim != 1 or latency.shape != accurate.shape:
        raise UsageError(
            f"cannot choose {n} picks from {latency.shape} latencies and {accurate.shape} accuracies"
        )
    if len(latency) == 0:
        return []
    if not latency.min() > 0:
        raise UsageError(f"latency_ms must be above 0, the smallest is {latency.min()}")
    points = np.column_stack([latency, -accurate])
    _, unique = np.unique(points, axis=0, return_index=True)
    rank = ranks(points)
    rank[np.setdiff1d(np.arange(len(points)), unique)] = len(points)  # repetitions come last
    front = np.flatnonzero(rank == 0)
    ends = {
        "accurate": front[np.argmin(points[front, 1])],
        "fastest": front[np.argmin(points[front, 0])],
        "knee": front[knee(points[front])],
    }
    chosen: dict[int, str] = {}
    first = find_preference(prefer).pick
    for why in [first, *(end for end in ends if end != first)][:n]:
        chosen.setdefault(int(ends[why]), why)
    scaled = _scaled(np.column_stack([np.log(latency), -accurate]), front)
    _spread(chosen, Standing(latency, accurate, noise, latency_noise), rank, scaled, n)
    return [Pick(i, why) for i, why in sorted(chosen.items(), key=lambda item: (latency[item[0]], item[0]))]


def _scaled(points: NDArray[np.float64], front: NDArray[np.int64]) -> NDArray[np.float64]:
    """Axes on which the front runs from 0 to 1."""
    least, most = points[front].min(axis=0), points[front].max(axis=0)
    scaled: NDArray[np.float64] = (points - least) / np.where(most > least, most - least, 1.0)
    return scaled


class Standing:
    """How many picks are expected to be dominated by no other one.

    latency, accuracy: (points,). noise: deviation of accuracies. latency_noise: of logarithms of latencies.
    """

    def __init__(self, latency: Array, accuracy: Array, noise: float, latency_noise: float = 0.0) -> None:
        rng = np.random.default_rng(0)
        size = (_DRAWS if noise or latency_noise else 1, len(accuracy))
        self._accuracy = accuracy + noise * rng.normal(size=size)
        self._latency = np.log(latency) + latency_noise * rng.normal(size=size)

    def expected(self, members: Sequence[int]) -> float:
        """Of these points: those that are more accurate than each faster one."""
        latency, accuracy = self._latency[:, list(members)], self._accuracy[:, list(members)]
        order = np.lexsort((-accuracy, latency), axis=1)
        drawn = np.take_along_axis(accuracy, order, axis=1)
        best = np.maximum.accumulate(drawn, axis=1)
        return 1 + float((drawn[:, 1:] > best[:, :-1]).sum(axis=1).mean())


def _spread(
    chosen: dict[int, str], standing: Standing, rank: Indices, points: NDArray[np.float64], n: int
) -> None:
    """Add to `chosen` until it holds `n`. rank: (all,). points: (all, 2), scaled."""
    left = [i for i in range(len(points)) if i not in chosen]

    def worth(i: int) -> tuple[float, int, float, float]:
        held = list(chosen)
        return (
            round(standing.expected([*held, i]), 2),
            -int(rank[i]),
            round(hypervolume(points[[*held, i]], _REFERENCE), 9),
            float(np.abs(points[held, 0] - points[i, 0]).min()),
        )

    while left and len(chosen) < n:
        best = max(left, key=worth)
        left.remove(best)
        chosen[best] = "spread"
