"""What a mix or an architecture costs: one contraction of its weights with small tables.

A space says which block stands at each position for each combination of at most three choices
(`Position`); a metric says what a block costs. Their composition is a table per position, and

    cost(mix) = fixed + sum over positions of sum over options of table * product of weights,

exact for an architecture (a one-hot mix) and differentiable for any other: one code path. Peak
memory is the largest of the positions instead of their sum (a smooth maximum for soft mixes).
All metrics and positions are contracted at once, so that pricing a mix costs well under 1 % of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .blocks import BlockSpec
from .budget import METRICS
from .eliminate import eliminate
from .mix import Arch, Mix
from .space import NetworkSpace

_ARITY = 3
_SHARPNESS = 50.0
"""Inverse temperature of the smooth maximum, on values scaled to 1 (error at most log(n) / 50)."""


class LatencySource(Protocol):
    """What a latency table gives: the calibrated share of each block, and the fixed rest."""

    @property
    def intercept_ms(self) -> float:
        """Milliseconds of a network that belong to no block."""
        ...

    def latency_ms(self, key: str) -> float:
        """Milliseconds that the block adds to a network; raises for a key that it does not know."""
        ...


FILE_BASE_BYTES = 600
"""Bytes of an exported file without any block: header, opset, inputs, outputs."""

PAPER: Mapping[str, tuple[Callable[[BlockSpec], float], float]] = {
    "macs": (lambda b: float(b.macs), 0.0),
    "params": (lambda b: float(b.params), 0.0),
    "size_mb": (lambda b: b.file_bytes / 1e6, FILE_BASE_BYTES / 1e6),
    "peak_memory_mb": (lambda b: b.peak_bytes / 1e6, 0.0),
}
"""Metrics that need no device: value of a block, and what the network adds to their sum."""

MAXIMA = ("peak_memory_mb",)
"""Metrics that are the largest of their positions, not the sum."""


class CostModel:
    """The tables of one space for all its metrics."""

    def __init__(self, space: NetworkSpace, latency: LatencySource | None = None) -> None:
        """Latency: a table that knows every block of the space, or None to leave latency out."""
        self.space = space
        blocks = space.blocks()
        values = {m: {k: value(b) for k, b in blocks.items()} for m, (value, _) in PAPER.items()}
        fixed = {m: base for m, (_, base) in PAPER.items()}
        if latency is not None:
            values["latency_ms"] = {k: latency.latency_ms(k) for k in blocks}
            fixed["latency_ms"] = latency.intercept_ms
        self.metrics = tuple(m for m in METRICS if m in values)
        self._fixed = np.array([fixed[m] for m in self.metrics])
        self._maxima = np.array([m in MAXIMA for m in self.metrics])
        self._table, self._columns = self._stack(values)
        self._scale = np.maximum(self._table.max(axis=(1, 2, 3, 4)), 1e-30)
        self._tensors: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def _stack(
        self, values: Mapping[str, Mapping[str, float]]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Tables (metrics, positions, a, b, c) padded with 0, and their choices (positions, 3), -1 = none."""
        positions = self.space.positions
        shape = [max(p.keys.reshape(_pad(p.keys.shape)).shape[i] for p in positions) for i in range(_ARITY)]
        table = np.zeros((len(self.metrics), len(positions), *shape))
        columns = np.full((len(positions), _ARITY), -1, dtype=np.int64)
        for i, p in enumerate(positions):
            columns[i, : len(p.choices)] = p.choices
            keys = p.keys.reshape(_pad(p.keys.shape))
            where = tuple(slice(n) for n in keys.shape)
            for m, metric in enumerate(self.metrics):
                lookup = values[metric]
                flat = [0.0 if k is None else lookup[k] for k in keys.ravel()]
                table[m, i][where] = np.reshape(flat, keys.shape)
        return table, columns

    def of(self, archs: Sequence[Arch]) -> dict[str, NDArray[np.float64]]:
        """Exact costs of the architectures: per metric (n,), in the unit that its name says."""
        indices = np.asarray(archs, dtype=np.int64).reshape(len(archs), len(self.space.choices))
        padded = np.concatenate([indices, np.zeros((len(archs), 1), dtype=np.int64)], axis=1)
        a, b, c = (padded[:, self._columns[:, i]] for i in range(_ARITY))
        cells = self._table[:, np.arange(len(self._columns)), a, b, c]
        reduced = np.where(self._maxima[:, None], cells.max(axis=2), cells.sum(axis=2))
        return {m: reduced[i] + self._fixed[i] for i, m in enumerate(self.metrics)}

    def expected(self, mix: Mix) -> dict[str, Tensor]:
        """Expected costs of a mix: per metric a scalar, differentiable in the weights."""
        flat = mix.flat()
        one = flat.new_ones(1)
        table, index = self._on(flat)
        weights = torch.cat([flat, flat.new_zeros(1), one])[index]
        a, b, c = weights.unbind(0)
        by_position = torch.einsum("mpabc,pa,pb,pc->mp", table, a, b, c)
        sums = by_position.sum(1)
        out = {}
        for i, metric in enumerate(self.metrics):
            value = sums[i]
            if self._maxima[i]:
                value = self._smooth_maximum(by_position[i], mix, float(self._scale[i]))
            out[metric] = value + float(self._fixed[i])
        return out

    @staticmethod
    def _smooth_maximum(values: Tensor, mix: Mix, scale: float) -> Tensor:
        if mix.arch is not None:
            return values.max()
        share = torch.softmax(_SHARPNESS * values / scale, 0)
        return (share * values).sum()

    def _on(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """The tables and, per axis, position and option, the place of its weight in the flat mix."""
        if like.device not in self._tensors:
            offsets = np.concatenate([[0], np.cumsum(self.space.n_options)])
            zero, one = int(offsets[-1]), int(offsets[-1]) + 1
            width = max(self._table.shape[2:])
            index = np.full((_ARITY, len(self._columns), width), zero, dtype=np.int64)
            for p, axis in np.ndindex(self._columns.shape):
                choice = self._columns[p, axis]
                if choice < 0:
                    index[axis, p, 0] = one
                else:
                    n = int(self.space.n_options[choice])
                    index[axis, p, :n] = offsets[choice] + np.arange(n)
            cube = np.zeros((*self._table.shape[:2], width, width, width), dtype=np.float32)
            cube[:, :, : self._table.shape[2], : self._table.shape[3], : self._table.shape[4]] = self._table
            self._tensors[like.device] = (
                torch.from_numpy(cube).to(like.device),
                torch.from_numpy(index).to(like.device),
            )
        return self._tensors[like.device]

    def minimum(self, metric: str) -> tuple[float, Arch]:
        """The exact lower bound of the space in `metric`, and an architecture that reaches it."""
        m = self.metrics.index(metric)
        factors = [
            (p.choices, self._table[m, i][tuple(slice(n) for n in _pad(p.keys.shape))].reshape(p.keys.shape))
            for i, p in enumerate(self.space.positions)
        ]
        value, arch = eliminate(factors, self.space.n_options, largest=bool(self._maxima[m]))
        return value + float(self._fixed[m]), self.space.canonical(arch)


def _pad(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape, *(1,) * (_ARITY - len(shape)))
