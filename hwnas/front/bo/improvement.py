"""The expected hypervolume improvement where one objective is predicted and all others are known exactly.

Let e*(t) be the smallest error among the architectures whose known costs are all at most t. A candidate of
costs L and error e adds the volume between e and e*(t) over all t >= L up to the limits, so, by [1] with the
costs known,

    EHVI = integral over t >= L of EI(e*(t)),  EI(v) = E[max(v - e, 0)].

e* takes as many values as the staircase has steps. With one cost the integral is a sum over the steps; with
two it is a sum over the cells of a grid, evaluated by interpolation of its suffix sums; with more it is a
mean over quasi-random t. The error is log-normal.

[1] Emmerich, Giannakoglou and Naujoks, Single- and multiobjective evolutionary optimization assisted by
    Gaussian random field metamodels, IEEE Transactions on Evolutionary Computation 10(4), 2006.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.special import ndtr

from hwnas.core.arrays import Array, Indices

N_POINTS = 2048
"""Of the quasi-random sample for three and more costs."""
LARGEST_GRID = 128
"""Points of the front up to which two costs go by the exact grid: its table has the third power of them."""


def expected_improvement(log_mean: Array, log_deviation: Array, level: Array) -> Array:
    """E[max(level - e, 0)] where log e is normal; the arguments broadcast. level 0 gives 0."""
    with np.errstate(divide="ignore"):
        log_level = np.log(level)
    score = (log_level - log_mean) / log_deviation
    mean = np.exp(log_mean + log_deviation**2 / 2)
    gain: Array = np.maximum(level * ndtr(score) - mean * ndtr(score - log_deviation), 0.0)
    return gain


class Improvement:
    """EHVI over a front that grows.

    low, limits (m,): the box of the known costs; what is above the limits counts nothing. worst: the error
    at which the hypervolume starts to count. costs (n, m), errors (n,): what is known.
    """

    def __init__(
        self, costs: Array, errors: Array, low: Array, limits: Array, worst: float, seed: int = 0
    ) -> None:
        self._limits, self._worst = limits, worst
        inside = (costs <= limits).all(axis=1) & (errors < worst)
        self._costs, self._errors = costs[inside], errors[inside]
        self._low, self._seed = low, seed
        self._rebuild()

    def add(self, costs: Array, error: float) -> None:
        """Count one more architecture, of costs (m,)."""
        if (costs <= self._limits).all() and error < self._worst:
            self._costs = np.vstack([self._costs, costs])
            self._errors = np.append(self._errors, error)
            self._rebuild()

    def _rebuild(self) -> None:
        keep = undominated(np.column_stack([self._costs, self._errors]))
        self._costs, self._errors = self._costs[keep], self._errors[keep]
        self._levels, which = np.unique(np.append(self._errors, self._worst), return_inverse=True)
        self._level_of = which[:-1]
        n_costs = len(self._limits)
        if n_costs < 2:
            self._volumes = self._steps if n_costs else self._whole
        elif n_costs == 2 and len(self._costs) <= LARGEST_GRID:
            self._build_grid()
            self._volumes = self._cells
        else:
            self._place_points()
            self._volumes = self._sampled

    @cached_property
    def _points(self) -> Array:
        """Quasi-random costs t in the box: (points, m)."""
        from scipy.stats import qmc

        unit = qmc.Sobol(len(self._low), rng=np.random.default_rng(self._seed)).random(N_POINTS)
        points: Array = self._low + unit * (self._limits - self._low)
        return points

    def _place_points(self) -> None:
        level = np.full(len(self._points), len(self._levels) - 1)
        for row, k in zip(self._costs, self._level_of, strict=True):
            level[(self._points >= row).all(axis=1) & (level > k)] = k
        share = np.prod(self._limits - self._low) / len(level)
        self._point_levels = np.zeros((len(level), len(self._levels)), dtype=np.float32)
        self._point_levels[np.arange(len(level)), level] = share

    def _build_grid(self) -> None:
        """Suffix sums of the area per level, at the corners of the grid: (x corners, y corners, levels)."""
        self._axes = [np.unique(np.append(self._costs[:, a], self._limits[a])) for a in (0, 1)]
        x, y = self._axes
        level = np.full((len(x) - 1, len(y) - 1), len(self._levels) - 1)
        for row, k in zip(self._costs, self._level_of, strict=True):
            part = level[np.searchsorted(x, row[0]) :, np.searchsorted(y, row[1]) :]
            np.minimum(part, k, out=part)
        area = np.diff(x)[:, None] * np.diff(y)[None, :]
        sums = np.zeros((len(x), len(y), len(self._levels)))
        i, j = np.indices(level.shape)
        sums[i, j, level] = area
        self._sums = sums[::-1, ::-1].cumsum(0).cumsum(1)[::-1, ::-1]

    def volumes(self, costs: Array) -> Array:
        """Per candidate the volume {t >= costs} by value of e*: (n, m) -> (n, levels)."""
        volumes: Array = self._volumes(costs)
        return volumes

    def _whole(self, costs: Array) -> Array:
        volumes = np.zeros((len(costs), len(self._levels)))
        volumes[:, 0] = 1.0
        return volumes

    def _steps(self, costs: Array) -> Array:
        order = np.argsort(self._costs[:, 0], kind="stable")
        starts = np.append(self._costs[order, 0], self._limits[0])
        columns = np.append(self._level_of[order], 0)[:-1]
        left = np.maximum(costs, starts[None, :-1])
        volumes = np.zeros((len(costs), len(self._levels)))
        volumes[:, columns] = np.maximum(starts[None, 1:] - left, 0.0)
        volumes[:, -1] = np.maximum(starts[0] - costs[:, 0], 0.0)
        return volumes

    def _cells(self, costs: Array) -> Array:
        """Bilinear between the corners, as the area of {t >= costs} is a product inside each cell."""
        (x0, x1, u, x_before, x_inside), (y0, y1, v, y_before, y_inside) = (
            _place(axis, costs[:, a]) for a, axis in enumerate(self._axes)
        )
        sums = self._sums
        volumes: Array = (1 - u) * ((1 - v) * sums[x0, y0] + v * sums[x0, y1])
        volumes += u * ((1 - v) * sums[x1, y0] + v * sums[x1, y1])
        volumes[:, -1] += x_before * (y_inside + y_before) + x_inside * y_before
        return volumes

    def _sampled(self, costs: Array) -> Array:
        above = np.ones((len(costs), len(self._points)), dtype=np.bool_)
        for a in range(costs.shape[1]):
            above &= self._points[None, :, a] >= costs[:, a, None]
        volumes: Array = (above.astype(np.float32) @ self._point_levels).astype(np.float64)
        return volumes

    def of(self, costs: Array, log_mean: Array, log_deviation: Array) -> Array:
        """EHVI of candidates: costs (n, m), and mean and deviation of log error (n,) -> (n,)."""
        gains = expected_improvement(log_mean[:, None], log_deviation[:, None], self._levels[None, :])
        values = (gains * self.volumes(costs)).sum(axis=1)
        inside: Array = np.where((costs <= self._limits).all(axis=1), values, 0.0)
        return inside


def _place(axis: Array, at: Array) -> tuple[Indices, Indices, Array, Array, Array]:
    """Where values (n,) lie between corners: cell's ends, share of the cell below, length before and inside.

    Before the first corner no architecture is known, so that e* is `worst` there.
    """
    at = np.minimum(at, axis[-1])
    before, inside = np.maximum(axis[0] - at, 0.0), np.maximum(at, axis[0])
    lower = np.clip(np.searchsorted(axis, inside, side="right") - 1, 0, max(len(axis) - 2, 0))
    upper = np.minimum(lower + 1, len(axis) - 1)
    width = axis[upper] - axis[lower]
    share = np.where(width > 0, (inside - axis[lower]) / np.where(width > 0, width, 1.0), 0.0)
    return lower, upper, share[:, None], before, axis[-1] - inside


def undominated(points: Array) -> Indices:
    """Indices of points that no other dominates, of equal ones the first: (n, m) -> (k,)."""
    order = np.lexsort(points.T[::-1])
    kept: list[int] = []
    for i in order:
        if not kept or not (points[kept] <= points[i]).all(axis=1).any():
            kept.append(int(i))
    return np.array(sorted(kept), dtype=np.int64)
