"""What architectures look like to a surrogate: a few structural numbers, derived from what a space offers.

Any space counts how often each option is chosen; a `NetworkSpace` also adds up what its blocks state. A space
that knows more says so in its own `features`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .arrays import Array, Indices

if TYPE_CHECKING:
    from .block import Block
    from .choice import Choice
    from .position import Position

_MOST_STAGES = 6
_MEANS = ("kernel", "mid", "c_out", "se")
"""Features of a block (`Priced.features`) of which a stage gets the mean; `mid` is the expanded width."""


def stages(choices: Sequence[Choice]) -> list[int]:
    """Per choice its stage: choices named alike (`stage2.1`), in sixths of the list where they are many."""
    names = [c.name.split(".")[0] for c in choices]
    order = {name: i for i, name in enumerate(dict.fromkeys(names))}
    if len(order) <= _MOST_STAGES:
        return [order[name] for name in names]
    return [order[name] * _MOST_STAGES // len(order) for name in names]


class OptionCounts:
    """Per option its count in each stage and in all; a choice of numbers gives the chosen number.

    Each is a sum over the choices, so that the features of many architectures are one product of matrices.
    """

    def __init__(self, choices: Sequence[Choice]) -> None:
        offsets = np.cumsum([0, *(len(c.options) for c in choices)])
        columns: list[Array] = []
        counted: dict[str, dict[int, Array]] = {}
        for first, choice, stage in zip(offsets, choices, stages(choices), strict=False):
            if all(_is_number(o) for o in choice.options):
                column = np.zeros(offsets[-1])
                column[first : first + len(choice.options)] = [float(o) for o in choice.options]
                columns.append(column)
                continue
            for k, option in enumerate(choice.options):
                by_stage = counted.setdefault(option, {})
                by_stage.setdefault(stage, np.zeros(offsets[-1]))[first + k] = 1
        for by_stage in counted.values():
            columns += by_stage.values()
            if len(by_stage) > 1:
                columns.append(np.sum(list(by_stage.values()), axis=0))
        self._offsets = offsets[:-1]
        self._weights = np.stack(columns, axis=1) if columns else np.zeros((offsets[-1], 0))

    def of(self, indices: Indices) -> Array:
        """indices: (n, choices); returns (n, features)."""
        one_hot = np.zeros((len(indices), len(self._weights)))
        one_hot[np.arange(len(indices))[:, None], indices + self._offsets] = 1
        counts: Array = one_hot @ self._weights
        return counts


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class BlockSums:
    """What the blocks of a network add up to, as one table per position.

    positions: where blocks may stand.
    """

    def __init__(
        self,
        choices: Sequence[Choice],
        positions: Iterable[Position],
        blocks: Mapping[str, Block],
    ) -> None:
        stage_of = stages(choices)
        described = {key: block.features for key, block in blocks.items()}
        means = [m for m in _MEANS if all(m in d for d in described.values())]
        self.describes = len(means) > 0
        zero = np.zeros(3 + len(means))
        rows = {
            key: np.array([b.macs, b.params, 1.0, *(described[key][m] for m in means)], dtype=np.float64)
            for key, b in blocks.items()
        }
        self._fixed = np.zeros((max(stage_of) + 1, len(zero)))
        tables: dict[tuple[int, ...], Array] = {}
        self._read: list[tuple[Position, Array]] = []
        for position in positions:
            ruled_by, keys = position.choices, position.keys
            flat = [zero if k is None else rows[k] for k in keys.ravel()]
            table = np.reshape(flat, (*keys.shape, len(zero)))
            if position.readers:
                self._read.append((position, table[:2]))
            elif not ruled_by:
                self._fixed[0, :2] += table[:2]
            else:
                tables[ruled_by] = tables[ruled_by] + table if ruled_by in tables else table
        self._tables = [(stage_of[on[-1]], list(on), t) for on, t in tables.items()]

    def of(self, indices: Indices) -> dict[str, Array]:
        """`size`: log MACs and parameters; where blocks state their make also `shape`: depth and means.

        The means are those of kernel, width and the like per stage. indices: (n, choices).
        """
        sums = np.repeat(self._fixed[None], len(indices), axis=0)
        for stage, on, table in self._tables:
            sums[:, stage] += table[tuple(indices[:, c] for c in on)]
        for position, size in self._read:
            sums[:, 0, :2] += position.is_read(indices)[:, None] * size
        groups = {"size": np.log1p(sums[:, :, :2].sum(axis=1))}
        if self.describes:
            depth, in_all = sums[:, :, 2], sums[:, :, 2].sum(axis=1, keepdims=True)
            means = sums[:, :, 3:] / np.maximum(depth, 1)[:, :, None]
            mean_in_all = sums[:, :, 3:].sum(axis=1) / np.maximum(in_all, 1)
            flat = means.reshape(len(indices), means.shape[1] * means.shape[2])
            groups["shape"] = np.hstack([depth, in_all, flat, mean_in_all])
        return groups
