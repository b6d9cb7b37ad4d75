"""What a Bayesian search chooses from: the first architectures, and those around the front."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hwnas.core.arrays import Array

from .catalogue import SIZES, Catalogue, Rows
from .steps import random_steps

_TINY = 3_000
"""Spaces up to this size are looked at as a whole."""
_ENUMERABLE = 50_000
"""Spaces up to this size are listed where nothing else is left."""
_SAMPLE = 2_000
_ENOUGH_INSIDE = 200
_ROUNDS, _CLOSEST = 40, 20
_SHARED_BY = 5
"""Evaluations that share the random candidates, as drawing is dear."""

Rng = Callable[..., np.random.Generator]
"""Numbers of a stream -> its generator."""


@dataclass(frozen=True, slots=True)
class PoolSize:
    """How many candidates are looked at: neighbours of the front at most, and others beside them."""

    near: int = 2_000
    two_steps: int = 100
    random: int = 150


class Candidates:
    """Rows of a catalogue inside all budgets. rng: by stream, so that nothing depends on what came before."""

    def __init__(self, catalogue: Catalogue, size: PoolSize, rng: Rng) -> None:
        self._catalogue, self._size, self._rng = catalogue, size, rng
        self._drawn: dict[int, Rows] = {}

    @cached_property
    def sample(self) -> Rows:
        """A random sample of the space, or all of it where that is not larger. The catalogue's first rows."""
        space = self._catalogue.space
        if space.size <= _TINY:
            return np.unique(self._catalogue.rows(space.enumerate()))
        rng = self._rng(0)
        return np.unique(self._catalogue.rows([space.sample(rng) for _ in range(_SAMPLE)]))

    def usable(self, rows: Rows, taken: set[int]) -> Rows:
        """Rows inside all budgets, not taken, with something to train."""
        rows = rows[self._catalogue.within(rows) & self._catalogue.trainable[rows]]
        return rows[~np.isin(rows, np.fromiter(taken, dtype=np.int64))]

    @cached_property
    def _inside(self) -> Rows:
        """The sample inside the budgets. Where that is little, a walk towards the budgets adds to it."""
        catalogue, reached = self._catalogue, self.sample
        inside = self.usable(reached, set())
        for _ in range(_ROUNDS):
            if len(inside) >= _ENOUGH_INSIDE or not len(reached):
                break
            over = np.maximum(catalogue.costs[reached] / catalogue.budgets - 1, 0).sum(axis=1)
            closest = reached[np.argsort(over, kind="stable")[:_CLOSEST]]
            near = np.unique(np.concatenate([catalogue.near(int(row)) for row in closest]))
            if np.isin(near, reached).all():
                break
            reached = np.union1d(closest, near)
            inside = np.union1d(inside, self.usable(near, set()))
        return inside

    @cached_property
    def _cheapest(self) -> int:
        """The row of least first cost that single steps lead to from the cheapest of the sample."""
        first = self._catalogue.costs[:, 0]
        row = int(self.sample[np.argmin(first[self.sample])])
        while True:
            near = self._catalogue.near(row)
            first = self._catalogue.costs[:, 0]
            if not len(near) or first[near].min() >= first[row]:
                return row
            row = int(near[np.argmin(first[near])])

    @cached_property
    def _spread(self) -> Rows:
        """Rows inside the budgets at all first costs: the sample lies close together in a large space.

        So each of it is crossed with the cheapest row, in a share of its own.
        """
        catalogue, space, rng = self._catalogue, self._catalogue.space, self._rng(5)
        if not catalogue.costs.shape[1] or space.size <= _TINY:
            return self._inside
        cheapest = catalogue.archs[self._cheapest]
        archs = [catalogue.archs[row] for row in self.sample]
        crossed = [space.cross_over(cheapest, arch, rng, rng.random()) for arch in archs]
        return np.union1d(self._inside, self.usable(np.unique(catalogue.rows(crossed)), set()))

    def start(self, n: int, beside: Rows) -> Rows:
        """Up to `n` rows: bins of the first known cost, even in its logarithm; in each the largest network.

        beside: rows that are evaluated anyway. The row whose cost is farthest from all of these comes first,
        then the farthest from these and the first, …; beside none, the bins come coarse to fine. So any first
        part is spread.
        """
        rows, costs = self._spread, self._catalogue.costs
        if not len(rows) or n < 1:
            return np.zeros(0, dtype=np.int64)
        bins: list[Rows] = []
        if costs.shape[1]:
            rows = rows[np.argsort(costs[rows, 0], kind="stable")]
            logs = np.log(np.maximum(costs[rows, 0], 1e-12))
            edges = np.linspace(logs[0], logs[-1], n + 1)[1:-1]
            bins = np.split(rows, np.searchsorted(logs, edges, side="right"))
        largest = self._largest(bins)
        others = self._largest(np.array_split(rows, n))  # where bins are empty
        fill = [row for row in others if row not in largest][: n - len(largest)]
        place = {int(row): i for i, row in enumerate(rows)}
        chosen = np.array(sorted([*largest, *fill], key=place.__getitem__), dtype=np.int64)
        coarse = chosen[coarse_to_fine(len(chosen))]
        return self._farthest_first(coarse, beside) if len(beside) and costs.shape[1] else coarse

    def _farthest_first(self, rows: Rows, beside: Rows) -> Rows:
        """Rows in the order of their distance in the log cost to those beside them and those before them."""
        logs = np.log(np.maximum(self._catalogue.costs[:, 0], 1e-12))
        distances = np.abs(logs[rows][:, None] - logs[beside]).min(axis=1)
        order: list[int] = []
        for _ in rows:
            distances[order] = -1.0
            order.append(int(np.argmax(distances)))
            distances = np.minimum(distances, np.abs(logs[rows] - logs[rows[order[-1]]]))
        return rows[order]

    def _largest(self, bins: Sequence[Rows]) -> list[int]:
        """The row of the largest network of each bin that holds one."""
        return [int(rows[np.argmax(self._network_sizes(rows))]) for rows in bins if len(rows)]

    def _network_sizes(self, rows: Rows) -> Array:
        """Log parameters + log MACs where they are known, else the sum of all log costs: (n,)."""
        metrics = self._catalogue.metrics
        columns = [i for i, m in enumerate(metrics) if m in SIZES] or list(range(len(metrics)))
        logs = np.log(np.maximum(self._catalogue.costs[rows][:, columns], 1e-12))
        return np.asarray(logs.sum(axis=1), dtype=np.float64)

    @cached_property
    def cheapest(self) -> Rows:
        """Per known cost the row that a descent over neighbours ends at; of equally cheap ones the smallest.

        The front may end several steps before it, where costs are whole milliseconds and the steps between
        gain nothing.
        """
        ends = list[int]()
        for cost in range(self._catalogue.n_known if len(self._inside) else 0):
            row, near = -1, self._inside
            while (best := self._least(near, cost)) != row:
                row = best
                near = np.append(self.usable(self._catalogue.near(row), set()), row)
            ends.append(row)
        return np.unique(np.array(ends, dtype=np.int64))

    def _least(self, rows: Rows, cost: int) -> int:
        order = np.lexsort((rows, self._network_sizes(rows), self._catalogue.costs[rows, cost]))
        return int(rows[order[0]])

    def around(self, front: Sequence[int], taken: set[int], n_observed: int) -> Rows:
        """Neighbours of the front, some two steps away, some at random, and the cheapest."""
        catalogue, space, rng = self._catalogue, self._catalogue.space, self._rng(1, n_observed)
        if space.size <= _TINY:
            return self.usable(self.sample, taken)
        near = np.unique(np.concatenate([catalogue.near(row) for row in front]))
        if len(near) > self._size.near:
            near = rng.choice(near, self._size.near, replace=False)
        steps = [catalogue.archs[row] for row in rng.choice(front, self._size.two_steps)]
        for _ in range(2):
            steps = random_steps(space, steps, rng)
        steps = [arch for arch in steps if space.valid(arch)]
        others = np.union1d(catalogue.rows(steps), self._draws(n_observed // _SHARED_BY))
        others = np.union1d(others, self.cheapest)
        return self.usable(np.union1d(near, others), taken)

    def _draws(self, number: int) -> Rows:
        """Random architectures, the same for the same number."""
        if number not in self._drawn:
            rng, space = self._rng(2, number), self._catalogue.space
            self._drawn = {number: self._catalogue.rows(space.sample(rng) for _ in range(self._size.random))}
        return self._drawn[number]

    def anything(self, taken: set[int], n_observed: int) -> Rows:
        """What is left of the sample, or of a space that can be listed, in random order."""
        rows = self.usable(self._inside, taken)
        space = self._catalogue.space
        if space.size <= _ENUMERABLE:
            rows = self.usable(np.unique(self._catalogue.rows(space.enumerate())), taken)
        return self._rng(3, n_observed).permutation(rows)


def coarse_to_fine(n: int) -> list[int]:
    """0 … n-1 in an order of which every first part is spread: the ends, the middle, the quarters, …"""
    order = [0, n - 1][:n]
    while len(order) < n:
        placed = sorted(order)
        width, left = max(((b - a, -a) for a, b in itertools.pairwise(placed)))
        order.append(width // 2 - left)
    return order
