"""Which points of a front are trained, exported and measured: few, and spread over its range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from targets.errors import UsageError

from .pareto import knee, ranks
from .preference import find_preference


@dataclass(frozen=True, slots=True)
class Pick:
    """One chosen point: its index in what was given, and why: fastest, knee, accurate, spread or gradient."""

    index: int
    why: str


def choose_picks(latency_ms: ArrayLike, accuracy: ArrayLike, n: int, prefer: str = "accuracy") -> list[Pick]:
    """`n` points of the front of (latency, accuracy), fastest first. Both arrays: (points,).

    What `prefer` says (a name of `PREFERENCES`), the most accurate, the fastest, the knee; then points of the
    front, always the one farthest in log latency from those chosen. Where the front has too few, later fronts
    fill up, so fewer than `n` come back only when fewer are given. Of equal points the first is meant.
    Give feasible points only.
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
    for level in np.unique(rank):
        _spread(chosen, np.flatnonzero(rank == level).tolist(), np.log(latency), n)
    return [Pick(i, why) for i, why in sorted(chosen.items(), key=lambda item: (latency[item[0]], item[0]))]


def _spread(chosen: dict[int, str], pool: Sequence[int], position: NDArray[np.float64], n: int) -> None:
    """Add to `chosen` from `pool` until it holds `n`: always the one farthest from the chosen."""
    left = [i for i in pool if i not in chosen]
    while left and len(chosen) < n:
        distance = np.abs(position[left][:, None] - position[list(chosen)]).min(axis=1)
        chosen[left.pop(int(np.argmax(distance)))] = "spread"
