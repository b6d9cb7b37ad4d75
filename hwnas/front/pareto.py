"""Pareto mathematics on finite points: dominance, ranks, crowding, hypervolume, knee.

Every function minimises every axis (`Problem.minimised` turns the signs), and refuses NaN and
infinity: moocore, Optuna and botorch disagree on them, and moocore loses the true front to one NaN.

References:
[1] K. Deb, A. Pratap, S. Agarwal, T. Meyarivan. A fast and elitist multiobjective genetic
    algorithm: NSGA-II. IEEE Transactions on Evolutionary Computation 6(2), 2002.
[2] I. Das. On characterizing the "knee" of the Pareto curve based on normal-boundary
    intersection. Structural Optimization 18, 1999.
"""

from __future__ import annotations

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwnas.core.arrays import Array
from targets.errors import UsageError


def as_points(values: ArrayLike) -> Array:
    """`values` as a finite float array (n, m), m >= 1; UsageError names the first bad row."""
    points = np.asarray(values, dtype=np.float64)
    if points.size == 0 and points.ndim <= 2:
        return points.reshape(0, points.shape[1] if points.ndim == 2 and points.shape[1] else 1)
    if points.ndim != 2:
        raise UsageError(f"points must be (n, m), got shape {points.shape}; one row per architecture")
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(bad):
        raise UsageError(
            f"point {bad[0]} is not finite: {points[bad[0]].tolist()}; drop failed evaluations before"
        )
    return points


def non_dominated(values: ArrayLike) -> NDArray[np.bool_]:
    """Whether no other point is at least as good on all axes and better on one. (n, m) -> (n,).

    Equal points do not dominate each other: all of them stay.
    """
    points = as_points(values)
    if len(points) == 0:
        return np.zeros(0, dtype=np.bool_)
    return np.asarray(moocore.is_nondominated(points, keep_weakly=True), dtype=np.bool_)


def ranks(values: ArrayLike, violations: ArrayLike | None = None) -> NDArray[np.int64]:
    """Non-dominated sorting with constraints ([1], sections III-A and VI). (n, m), (n,) -> (n,).

    0 is the best front. A violation above 0 is infeasible: it ranks behind every feasible point, by
    its size alone. Equal points, and equally infeasible ones, share a rank.
    """
    points = as_points(values)
    over = np.zeros(len(points)) if violations is None else np.asarray(violations, dtype=np.float64)
    if over.shape != (len(points),) or not np.isfinite(over).all():
        raise UsageError(f"violations must be {len(points)} finite numbers, got {over.tolist()!r}")
    feasible = over <= 0
    rank = np.zeros(len(points), dtype=np.int64)
    n_fronts = 0
    if feasible.any():
        rank[feasible] = np.asarray(moocore.pareto_rank(points[feasible]), dtype=np.int64)
        n_fronts = int(rank[feasible].max()) + 1
    rank[~feasible] = n_fronts + np.unique(over[~feasible], return_inverse=True)[1]
    return rank


def crowding(values: ArrayLike) -> Array:
    """Distance of each point to its neighbours along the axes. (n, m) -> (n,).

    [1], section III-B. The ends of each axis get inf; an axis without spread adds 0.
    """
    points = as_points(values)
    distance = np.zeros(len(points))
    for axis in points.T:
        order = np.argsort(axis, kind="stable")
        spread = axis[order[-1]] - axis[order[0]] if len(order) else 0.0
        if spread > 0:
            distance[order[1:-1]] += (axis[order[2:]] - axis[order[:-2]]) / spread
            distance[order[[0, -1]]] = np.inf
    return distance


def hypervolume(values: ArrayLike, reference: ArrayLike) -> float:
    """Volume dominated by the points (n, m) up to `reference` (m,).

    What lies beyond the reference adds nothing; no point at all is 0. The reference is the caller's
    decision, made once per run: values for two references cannot be compared.
    """
    points, limit = as_points(values), np.asarray(reference, dtype=np.float64)
    if len(points) == 0:
        return 0.0
    if limit.shape != (points.shape[1],) or not np.isfinite(limit).all():
        raise UsageError(f"reference must be {points.shape[1]} finite numbers, got {limit.tolist()!r}")
    return float(moocore.hypervolume(points, ref=limit))


def knee(values: ArrayLike) -> int:
    """Index of the knee of a front of two axes (n, 2): farthest from the chord of its ends.

    [2] on axes scaled to 0..1. Ends are knees only when nothing lies between them (then the point
    that is best on axis 0); of equally far points the one that is better on axis 0 wins.
    """
    points = as_points(values)
    if points.shape[1] != 2 or len(points) == 0:
        raise UsageError(f"a knee needs at least one point of two axes, got shape {points.shape}")
    low, spread = points.min(axis=0), np.ptp(points, axis=0)
    scaled = (points - low) / np.where(spread > 0, spread, 1.0)
    order = np.lexsort((scaled[:, 1], scaled[:, 0]))
    inner = order[1:-1]
    if len(inner) == 0:
        return int(order[0])
    # The ends of a front scale to (0, 1) and (1, 0): below their chord x + y = 1 is better.
    return int(inner[np.argmin(scaled[inner].sum(axis=1))])
