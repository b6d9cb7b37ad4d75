"""What a mix or an architecture costs: one contraction of its option probabilities with small tables.

A space says which block stands at each position for each combination of at most three choices
(`Position`); a metric says what a block costs. Their composition is a table per position, and

    cost(mix) = fixed + sum over positions of sum over options of table * product of probabilities,

exact for an architecture (a one-hot mix) and differentiable for any other: one code path. Peak
memory is the largest of the positions instead of their sum (a smooth maximum for soft mixes).
All metrics and positions are contracted at once, which takes well under 1 % of a search step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwnas.core.arrays import Indices
from hwnas.core.block import Block
from hwnas.core.budget import LATENCY, METRICS, RATIO
from hwnas.core.choice import Arch
from hwnas.core.mix import Mix
from hwnas.core.network_space import NetworkSpace
from targets.errors import UsageError, did_you_mean

from .eliminate import eliminate
from .joint import ChoiceTable, JointTables

_ARITY = 3
"""The most choices that rule a position."""
_TANGENTS = 8
_SHARPNESS = 50.0
"""Inverse temperature of the smooth maximum, on values scaled to 1 (error at most log(n) / 50)."""


class LatencySource(Protocol):
    """A latency table: the calibrated share of each block, and what a network takes besides."""

    @property
    def intercept_ms(self) -> float:
        """Milliseconds of a network that belong to no block."""
        ...

    @property
    def square_ms_per_mb2(self) -> float:
        """Milliseconds that the working set adds, per square of the network's weights in 10^6 bytes."""
        ...

    def latency_ms(self, key: str) -> float:
        """Milliseconds that the block adds to a network; raises for an unknown key."""
        ...

    def weight_mb(self, key: str) -> float:
        """10^6 bytes of weights of the block."""
        ...


FILE_BASE_BYTES = 600
"""Bytes of an exported file without any block: header, opset, inputs, outputs."""

CLOSED_FORMS: Mapping[str, tuple[Callable[[Block], float], float]] = {
    "macs": (lambda b: float(b.macs), 0.0),
    "params": (lambda b: float(b.params), 0.0),
    "size_mb": (lambda b: b.file_bytes / 1e6, FILE_BASE_BYTES / 1e6),
    "peak_memory_mb": (lambda b: b.peak_bytes / 1e6, 0.0),
}
"""Metrics that need no device: what a block costs, and what a network costs besides its blocks."""

MAXIMA = ("peak_memory_mb",)
"""Metrics that are the largest of their positions, not the sum."""


class CostModel:
    """The cost of architectures and mixes of one space, in all its metrics.

    >>> from hwnas.spaces import load_space
    >>> space = load_space("nasbench201", image_size=32, in_channels=3, n_classes=10)
    >>> costs = CostModel(space)
    >>> costs.metrics
    ('macs', 'params', 'size_mb', 'peak_memory_mb')
    >>> arch = space.from_string(":".join(["nor_conv_3x3"] * 6))
    >>> costs.of([arch])["params"]  # 1.531546 M in the published table
    array([1531546.])
    >>> costs.expected(Mix.one_hot(space.choices, arch))["params"]
    tensor(1531546.)
    >>> least, smallest = costs.minimum("params")
    >>> space.to_string(smallest)
    'none:none:none:none:none:none'
    """

    def __init__(
        self,
        space: NetworkSpace,
        latency: LatencySource | None = None,
        energy: Mapping[str, float] | None = None,
        others: Mapping[str, LatencySource] | None = None,
    ) -> None:
        """Every table must know every block of the space.

        latency: of the first or only device, the metric `latency_ms`; None leaves it out.
        energy: in mJ by the key of the block; None leaves `energy_mj` out.
        others: of further devices by their names, the metrics `latency_ms@NAME`.
        """
        self.space = space
        latencies = {} if latency is None else {LATENCY: latency}
        latencies |= {f"{LATENCY}@{device}": source for device, source in (others or {}).items()}
        blocks = space.blocks()
        values: dict[str, Mapping[str, float]]
        values = {m: {k: value(b) for k, b in blocks.items()} for m, (value, _) in CLOSED_FORMS.items()}
        fixed = {m: base for m, (_, base) in CLOSED_FORMS.items()}
        for metric, source in latencies.items():
            values[metric] = {k: source.latency_ms(k) for k in blocks}
            fixed[metric] = source.intercept_ms
        if energy is not None:
            values["energy_mj"], fixed["energy_mj"] = energy, 0.0
        self.metrics = tuple(m for m in METRICS if m in values) + tuple(m for m in latencies if m != LATENCY)
        self._scopes = {p.choices: p.keys.shape for p in space.positions}
        # Behind the metrics stands a table per latency that is none: the weights, whose square adds to it.
        self._squares = {
            metric: (len(self.metrics) + i, source.square_ms_per_mb2)
            for i, (metric, source) in enumerate(latencies.items())
        }
        weights = [{k: source.weight_mb(k) for k in blocks} for source in latencies.values()]
        self._fixed = np.array([fixed[m] for m in self.metrics])
        self._maxima = np.array([m in MAXIMA for m in self.metrics])
        lookups = [*(values[m] for m in self.metrics), *weights]
        self._table, self._columns = self._stack(lookups)
        sums = ~np.array([*self._maxima, *(False for _ in weights)])
        self._read = [
            (p, np.array([lookup[p.keys.item()] for lookup in lookups]) * sums)
            for p in space.positions
            if p.readers
        ]
        self._scale = np.maximum(self._table.max(axis=(1, 2, 3, 4)), 1e-30)
        self._limits_ms: dict[str, float] = {}
        self._tensors: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def _stack(self, values: Sequence[Mapping[str, float]]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Tables (metrics + latencies, scopes, a, b, c), padded with 0; choices (scopes, 3), -1 = none.

        values: per metric, then per latency for its weights, the value of each block.
        Positions that the same choices rule, such as one edge in all cells, share a scope.
        """
        rows = {scope: i for i, scope in enumerate(self._scopes)}
        shape = [max(_pad(s)[i] for s in self._scopes.values()) for i in range(_ARITY)]
        maxima = [*self._maxima, *(False for _ in self._squares)]
        table = np.zeros((len(values), len(rows), *shape))
        columns = np.full((len(rows), _ARITY), -1, dtype=np.int64)
        for p in self.space.positions:
            i = rows[p.choices]
            columns[i, : len(p.choices)] = p.choices
            keys = p.keys.reshape(_pad(p.keys.shape))
            entries = table[:, i][(slice(None), *(slice(n) for n in keys.shape))]
            for m, lookup in enumerate(values):
                combine, held = (np.maximum, p.held_bytes / 1e6) if maxima[m] else (np.add, 0.0)
                # A block that not every network has is no term of a sum; a maximum is bounded with it.
                absent = bool(p.readers) and not maxima[m]
                flat = [0.0 if k is None or absent else held + lookup[k] for k in keys.ravel()]
                combine(entries[m], np.reshape(flat, keys.shape), out=entries[m])
        return table, columns

    @cached_property
    def _joint(self) -> JointTables:
        maxima = np.array([*self._maxima, *(False for _ in self._squares)])
        return JointTables.of(self._factors(self._table), self.space.n_options, maxima)

    def _factors(self, table: NDArray[np.float64]) -> list[ChoiceTable]:
        """The choices of each scope, and its part of `table` (metrics, scopes, a, b, c)."""
        return [
            (scope, table[:, i][(slice(None), *(slice(n) for n in _pad(shape)))].reshape(len(table), *shape))
            for i, (scope, shape) in enumerate(self._scopes.items())
        ]

    def of(self, archs: Sequence[Arch] | Indices) -> dict[str, NDArray[np.float64]]:
        """Exact costs of the architectures: per metric (n,), in the unit that its name says.

        archs: also as an array (n, choices), which is read three times as fast.
        """
        indices = self.space.indices(archs)
        values = self._joint.values(indices)
        for position, value in self._read:
            values += value[:, None] * position.is_read(indices)
        costs = {m: values[i] + self._fixed[i] for i, m in enumerate(self.metrics)}
        for metric, (row, square) in self._squares.items():
            costs[metric] += square * values[row] ** 2
        if self._limits_ms:
            costs[RATIO] = np.max([costs[m] / limit for m, limit in self._limits_ms.items()], axis=0)
        return costs

    def relative_to(self, limits_ms: Mapping[str, float]) -> CostModel:
        """The same, whose `of` tells `latency_ratio` too: the largest share of these limits, by metric."""
        costs = copy(self)
        costs._limits_ms = dict(limits_ms)
        return costs

    def expected(self, mix: Mix) -> dict[str, Tensor]:
        """Expected costs of a mix: per metric a scalar, differentiable in probabilities and edge weights."""
        flat = torch.cat(mix.scaled_probs)
        table, index = self._on(flat)
        probs = torch.cat([flat, flat.new_zeros(1), flat.new_ones(1)])[index]
        a, b, c = probs.unbind(0)
        by_position = torch.einsum("mpabc,pa,pb,pc->mp", table, a, b, c)
        sums = by_position.sum(1) + self._expected_reads(mix, by_position)
        costs = {}
        for i, metric in enumerate(self.metrics):
            value = sums[i]
            if self._maxima[i]:
                value = self._smooth_maximum(by_position[i], mix, float(self._scale[i]))
            costs[metric] = value + float(self._fixed[i])
        for metric, (row, square) in self._squares.items():
            costs[metric] = costs[metric] + square * sums[row] ** 2
        return costs

    def _expected_reads(self, mix: Mix, like: Tensor) -> Tensor | float:
        """What blocks add that stand where one of their readers is chosen; choices are independent."""
        total: Tensor | float = 0.0
        for position, value in self._read:
            unread = like.new_ones(())
            for choice, option in position.readers:
                unread = unread * (1 - mix.scaled_probs[choice][option])
            total = total + (1 - unread) * like.new_tensor(value)
        return total

    @staticmethod
    def _smooth_maximum(values: Tensor, mix: Mix, scale: float) -> Tensor:
        if mix.arch is not None:
            return values.max()
        share = torch.softmax(_SHARPNESS * values / scale, 0)
        return (share * values).sum()

    def _on(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """The tables and, per axis, position and option, the place of its probability in the flat mix."""
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
        """The lower bound of the space in `metric`, and an architecture that reaches it.

        The bound is exact for all metrics but a latency with a square of the weights. That square is replaced
        by its tangent at the weights of the last minimiser, which is never above it. Where a minimiser is its
        own tangent point, the bound is exact again. The few rounds allowed have always reached that
        (tests/hwnas/costs/test_cost.py).
        """
        if metric not in self.metrics:
            raise UsageError(f"there are no costs of metric {metric!r}; {did_you_mean(metric, self.metrics)}")
        m = self.metrics.index(metric)
        row, square = self._squares.get(metric, (m, 0.0))
        at, best, reached = 0.0, None, np.inf
        for _ in range(_TANGENTS):
            table = self._table[m] + 2 * square * at * self._table[row]
            reads = [value[m] + 2 * square * at * value[row] for _, value in self._read]
            arch = self._least(table, reads, largest=bool(self._maxima[m]))
            value = float(self.of([arch])[metric][0])
            if best is None or value < reached:
                reached, best = value, arch
            weight_mb = self._tabled(arch, row)
            if not square or weight_mb == at:
                break
            at = weight_mb
        return reached, self.space.canonical(best or ())

    def maximum(self, metric: str) -> float:
        """What the most costly network of the space needs in `metric`.

        Exact for sums and maxima. Of a latency with a square of the weights it is that of the larger of two
        networks: the one with the most of the sum, the one with the most weights.
        """
        m = self.metrics.index(metric)
        if self._maxima[m]:
            return float(self._table[m].max() + self._fixed[m])
        archs = []
        for row in {m, self._squares.get(metric, (m, 0.0))[0]}:
            reads = [-value[row] for _, value in self._read]
            archs.append(self._least(-self._table[row], reads, largest=False))
        return float(self.of(archs)[metric].max())

    def _tabled(self, arch: Arch, row: int) -> float:
        """What a table adds up to for an architecture, blocks that are only read by some included."""
        indices = self.space.indices([arch])
        read = sum(float(value[row]) for p, value in self._read if p.is_read(indices)[0])
        return float(self._joint.values(indices)[row, 0]) + read

    def _least(self, table: NDArray[np.float64], reads: Sequence[float], *, largest: bool) -> Arch:
        """The architecture of the least sum of a table (scopes, a, b, c), or of the least maximum.

        reads: what each block of `_read` adds; every reader bears an equal part of it here, which is never
        more than the block costs.
        """
        factors = [(scope, part[0]) for scope, part in self._factors(table[None])]
        for (position, _), value in zip(self._read, reads, strict=True):
            for choice, option in position.readers:
                part = np.zeros(self.space.n_options[choice])
                part[option] = value / len(position.readers)
                factors.append(((choice,), part))
        factors += [(node.edges, node.penalty(self.space.n_options)) for node in self.space.nodes]
        return eliminate(factors, self.space.n_options, largest=largest)[1]


def _pad(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape, *(1,) * (_ARITY - len(shape)))
