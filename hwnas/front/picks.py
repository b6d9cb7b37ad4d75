"""Which points of a front are trained, exported and measured: few, and spread over its range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from targets.errors import UsageError

from .pareto import hypervolume, knee, ranks
from .preference import find_preference

_REFERENCE = (1.1, 1.1)
"""Beyond the ends of a front that runs from 0 to 1, so that they count too (Ishibuchi et al. 2018)."""


@dataclass(frozen=True, slots=True)
class Pick:
    """One chosen point: its index in what was given, and why: fastest, knee, accurate, spread or gradient."""

    index: int
    why: str


def choose_picks(latency_ms: ArrayLike, accuracy: ArrayLike, n: int, prefer: str = "accuracy") -> list[Pick]:
    """`n` points of the front of (latency, accuracy), fastest first. Both arrays: (points,).

    What `prefer` says (a name of `PREFERENCES`), the most accurate, the fastest, the knee; then always the
    point that adds most hypervolume, by log latency and accuracy scaled to the front. Where the front has too
    few, later fronts fill up, those first that are farthest in log latency, so fewer than `n` come back only
    when fewer are given. Of equal points the first is meant. Give feasible points only.

    Points that add little lie so near to another that a training decides which of the two is better.
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
    for level in np.unique(rank):
        _spread(chosen, np.flatnonzero(rank == level).tolist(), scaled, n)
    return [Pick(i, why) for i, why in sorted(chosen.items(), key=lambda item: (latency[item[0]], item[0]))]


def _scaled(points: NDArray[np.float64], front: NDArray[np.int64]) -> NDArray[np.float64]:
    """Axes on which the front runs from 0 to 1."""
    least, most = points[front].min(axis=0), points[front].max(axis=0)
    scaled: NDArray[np.float64] = (points - least) / np.where(most > least, most - least, 1.0)
    return scaled


def _spread(chosen: dict[int, str], pool: Sequence[int], points: NDArray[np.float64], n: int) -> None:
    """Add to `chosen` from `pool` until it holds `n`. points: (all, 2), scaled."""
    left = [i for i in pool if i not in chosen]

    def worth(i: int) -> tuple[float, float]:
        held = list(chosen)
        return (
            round(hypervolume(points[[*held, i]], _REFERENCE), 9),
            float(np.abs(points[held, 0] - points[i, 0]).min()),
        )

    while left and len(chosen) < n:
        best = max(left, key=worth)
        left.remove(best)
        chosen[best] = "spread"
