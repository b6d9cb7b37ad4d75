"""Architectures that were met, with their known costs and features: a memo that no proposal depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .features import Features
from .gp import Array, Inputs
from .neighbours import neighbours

if TYPE_CHECKING:
    from hwnas.core.mix import Arch
    from hwnas.core.space import Space

Costs = Callable[[Sequence["Arch"]], Mapping[str, NDArray[np.float64]]]
"""Architectures -> per metric their exact costs (n,), such as `CostModel.of`."""

Rows = NDArray[np.int64]


class Catalogue:
    """Numbers architectures in the order in which they are met; the first call of `rows` sets all scales.

    costs: rows x metrics, in the order of `metrics`.
    """

    def __init__(self, space: Space, price: Costs, metrics: Sequence[str]) -> None:
        self.space, self.metrics = space, tuple(metrics)
        self.archs: list[Arch] = []
        self._price, self._features = price, Features(space)
        self._row_of: dict[Arch, int] = {}
        self._canonical: dict[Arch, Arch] = {}
        self._near: dict[int, Rows] = {}
        self._raw: list[Growing] = []
        self._scales: list[tuple[Array, Array]] = []

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
        prices = self._price(archs)
        costs = np.stack([np.asarray(prices[m], dtype=np.float64) for m in self.metrics], axis=1) if self.metrics else np.zeros((len(archs), 0))
        logs = np.log(np.maximum(costs, 1e-12))
        parts = [costs, self._features.structure(archs), self._features.choices(archs), logs]
        if not self._raw:
            self._raw = [Growing(p.shape[1]) for p in parts]
            self._scales = [(p.mean(axis=0), p.std(axis=0)) for p in parts]
        for growing, part, (mean, deviation) in zip(self._raw, parts, self._scales, strict=True):
            if growing is not self._raw[0]:
                part = np.where(deviation > 1e-9, (part - mean) / np.where(deviation > 1e-9, deviation, 1.0), 0.0)
            growing.extend(part)
        self.archs += archs

    @property
    def costs(self) -> Array:
        """Known costs of all rows: (rows, metrics)."""
        return self._raw[0].values

    def inputs(self, rows: Rows) -> Inputs:
        """The features of rows, scaled to mean 0 and deviation 1 over what was met first."""
        structure, choices, logs = (g.values[rows] for g in self._raw[1:])
        return Inputs((np.hstack([structure, logs]), choices), logs)

    def near(self, row: int) -> Rows:
        """All neighbours of a row, itself left out, each once."""
        if row not in self._near:
            found = np.unique(self.rows(neighbours(self.space, self.archs[row])))
            self._near[row] = found[found != row]
        return self._near[row]


class Growing:
    """Rows of a fixed width in memory that doubles."""

    def __init__(self, width: int) -> None:
        self._memory, self._n = np.zeros((1024, width)), 0

    @property
    def values(self) -> Array:
        """The rows so far; a view."""
        return self._memory[: self._n]

    def extend(self, rows: Array) -> None:
        """Append rows (n, width)."""
        while self._n + len(rows) > len(self._memory):
            self._memory = np.concatenate([self._memory, np.zeros_like(self._memory)])
        self._memory[self._n : self._n + len(rows)] = rows
        self._n += len(rows)
