"""Architectures that were met, with their known costs and features: a memo that no proposal depends on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hwnas.core.arrays import Array
from hwnas.front.neighbours import neighbours
from hwnas.front.strategy import CostsOf
from targets.errors import UsageError

from .gp import Inputs
from .task import Sought

if TYPE_CHECKING:
    from hwnas.core.choice import Arch
    from hwnas.core.space import Space

Rows = NDArray[np.int64]
"""Numbers of architectures in a catalogue."""

SIZES = ("macs", "params")
"""Costs that say how large a network is, on any device."""


class Catalogue:
    """Numbers architectures in the order in which they are met. The first ones set all scales.

    archs: in canonical form, by number. metrics: the columns of `costs`, those of the task first.
    """

    def __init__(self, space: Space, costs_of: CostsOf, task: Sought) -> None:
        self.space, self.metrics = space, task.metrics
        self.archs: list[Arch] = []
        self._costs_of, self._task = costs_of, task
        self._row_of: dict[Arch, int] = {}
        self._canonical: dict[Arch, Arch] = {}
        self._near: dict[int, Rows] = {}
        self._costs, self._trainable = Growing(0), Growing(1)
        self._columns: list[ScaledColumns] = []

    def rows(self, archs: Iterable[Arch]) -> Rows:
        """The numbers of architectures, which are brought into canonical form first."""
        new: list[Arch] = []
        numbers: list[int] = []
        for arch in archs:
            canonical = self._canonical.get(arch)
            if canonical is None:
                canonical = self._canonical[arch] = self.space.canonical(arch)
            number = self._row_of.get(canonical)
            if number is None:
                number = self._row_of[canonical] = len(self.archs) + len(new)
                new.append(canonical)
            numbers.append(number)
        if new:
            self._add(new)
        return np.array(numbers, dtype=np.int64)

    def _add(self, archs: list[Arch]) -> None:
        priced = self._costs_of(archs)
        if not self.archs:
            if missing := [m for m in self.metrics if m not in priced]:
                raise UsageError(
                    f"the costs lack {missing[0]}, they have {', '.join(priced) or 'nothing'}; a Bayesian "
                    f"search needs all objectives but one, and every budget, before an evaluation"
                )
            self.metrics = (*self.metrics, *(m for m in SIZES if m in priced and m not in self.metrics))
        costs = np.zeros((len(archs), len(self.metrics)))
        for column, metric in enumerate(self.metrics):
            costs[:, column] = priced[metric]
        parts = self._groups(archs, costs)
        if not self.archs:
            self._costs = Growing(len(self.metrics))
            self._columns = [ScaledColumns(part) for part in parts]
        self._costs.extend(costs)
        self._trainable.extend(np.array([[self.space.reads_image(arch)] for arch in archs], dtype=np.float64))
        for columns, part in zip(self._columns, parts, strict=True):
            columns.extend(part)
        self.archs += archs

    def _groups(self, archs: Sequence[Arch], costs: Array) -> list[Array]:
        """The groups of the kernel: the features of the space, and one-hot choices.

        Log costs join the first group where the space has no blocks that say the size. The distance of
        one-hot choices counts those that differ.
        """
        features = self.space.features(archs)
        groups = list(features.values())
        if "size" not in features:
            sizes = [i for i, m in enumerate(self.metrics) if m in SIZES] or list(range(len(self.metrics)))
            groups[0] = np.hstack([groups[0], np.log(np.maximum(costs[:, sizes], 1e-12))])
        return [*groups, self.space.encode(archs)]

    @property
    def costs(self) -> Array:
        """Known costs of all architectures: (rows, metrics)."""
        return self._costs.values

    @property
    def trainable(self) -> NDArray[np.bool_]:
        """Whether anything of an image reaches the classifier: (rows,)."""
        return np.asarray(self._trainable.values[:, 0] > 0, dtype=np.bool_)

    @property
    def n_known(self) -> int:
        """How many costs are to be small: the first columns."""
        return len(self._task.known)

    def known(self, rows: Rows) -> Array:
        """The costs of rows that are to be small: (n, known metrics)."""
        return self.costs[rows, : self.n_known]

    def within(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether rows keep every budget: (n,)."""
        return np.asarray((self.costs[rows] <= self.budgets).all(axis=1), dtype=np.bool_)

    def penalties(self, rows: Rows) -> Array:
        """What soft budgets add to the log error of rows: (n,)."""
        added = np.zeros(len(rows))
        for metric, (limit, margin) in self._task.soft.items():
            excess = self.costs[rows, self.metrics.index(metric)] - limit
            added += np.log1p(np.clip(excess / margin, 0.0, 1.0))
        return added

    @property
    def budgets(self) -> Array:
        """The limit per metric; inf where there is none."""
        return np.array([self._task.limits.get(m, np.inf) for m in self.metrics])

    def inputs(self, rows: Rows) -> Inputs:
        """The features of rows, scaled to mean 0 and deviation 1 over what was met first."""
        return Inputs(tuple(columns.values[rows] for columns in self._columns))

    def near(self, row: int) -> Rows:
        """All neighbours of a row, each once and the row itself left out."""
        if row not in self._near:
            near = neighbours(self.space, self.archs[row])
            rows = np.unique(self.rows(arch for arch in near if self.space.valid(arch)))
            self._near[row] = rows[rows != row]
        return self._near[row]


class Growing:
    """Rows of a fixed width in memory that doubles."""

    def __init__(self, width: int) -> None:
        self._memory, self._n = np.empty((1024, width)), 0

    @property
    def values(self) -> Array:
        """The rows so far; a view."""
        return self._memory[: self._n]

    def extend(self, rows: Array) -> None:
        """Append rows (n, width)."""
        if self._n + len(rows) > len(self._memory):
            grown = np.empty((max(2 * len(self._memory), self._n + len(rows)), self._memory.shape[1]))
            grown[: self._n] = self.values
            self._memory = grown
        self._memory[self._n : self._n + len(rows)] = rows
        self._n += len(rows)


class ScaledColumns(Growing):
    """Rows scaled to mean 0 and deviation 1 over the first ones; columns that those share are dropped."""

    def __init__(self, first: Array) -> None:
        deviation = first.std(axis=0)
        self._kept = np.flatnonzero(deviation > 1e-9)
        self._mean, self._deviation = first.mean(axis=0)[self._kept], deviation[self._kept]
        super().__init__(len(self._kept))

    def scaled(self, rows: Array) -> Array:
        """Rows in the unit of the first ones, without the columns that those shared."""
        columns: Array = (rows[:, self._kept] - self._mean) / self._deviation
        return columns

    def extend(self, rows: Array) -> None:
        """Append rows, which are scaled."""
        super().extend(self.scaled(rows))
