"""Tables over few choices each, joined into few over many: costs of many architectures are read from these.

An architecture is priced by one row per joint table, however many positions it has, so that a million take a
fraction of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from hwnas.core.arrays import Array, Indices

_MOST_CELLS = 8192
"""Of a joint table, unless one position has more: with all metrics it stays in the cache of a core."""
_BLOCK = 4096
"""Architectures at a time, whose intermediate values stay in the cache too."""

ChoiceTable = tuple[tuple[int, ...], Array]
"""The choices that rule a table, and the table: (metrics, options of the first choice, of the second, …)."""


@dataclass(frozen=True)
class JointTables:
    """The sum of tables over all of them, or for some metrics the maximum.

    strides: (choices, joint tables), the place of an architecture in each.
    sums, maxima: per joint table (cells, metrics of that kind).
    is_maximum: per metric.
    """

    strides: Array
    sums: Sequence[Array]
    maxima: Sequence[Array]
    is_maximum: NDArray[np.bool_]

    @classmethod
    def of(
        cls, tables: Sequence[ChoiceTable], n_options: Indices, is_maximum: NDArray[np.bool_]
    ) -> JointTables:
        """Joined as far as they stay small; tables that share choices first."""
        groups = _groups([choices for choices, _ in tables], n_options)
        strides = np.zeros((len(n_options), len(groups)))
        sums, maxima = list[Array](), list[Array]()
        for g, group in enumerate(groups):
            axes = sorted({c for i in group for c in tables[i][0]})
            sizes = [int(n_options[c]) for c in axes]
            strides[axes, g] = np.cumprod([1, *sizes[:0:-1]])[::-1][: len(axes)]
            spread = [_spread(*tables[i], axes) for i in group]
            for into, kind, join in ((sums, ~is_maximum, np.add), (maxima, is_maximum, np.maximum)):
                joint = reduce(join, [table[kind] for table in spread], np.zeros((int(kind.sum()), *sizes)))
                into.append(np.ascontiguousarray(joint.reshape(len(joint), -1).T))
        return cls(strides, sums, maxima, is_maximum)

    def values(self, archs: Indices) -> Array:
        """Of architectures (n, choices): (metrics, n). Each is the same whatever stands beside it."""
        out = np.empty((len(self.is_maximum), len(archs)))
        for start in range(0, len(archs), _BLOCK):
            block = slice(start, start + _BLOCK)
            # Products of floats, which are exact for whole numbers up to 2^53, are the fast ones.
            cells = (archs[block].astype(np.float64) @ self.strides).astype(np.intp)
            out[~self.is_maximum, block] = _joined(self.sums, cells, np.add).T
            out[self.is_maximum, block] = _joined(self.maxima, cells, np.maximum).T
        return out


def _joined(tables: Sequence[Array], cells: NDArray[np.intp], join: np.ufunc) -> Array:
    """The rows of all tables, summed up or the largest: (n, metrics)."""
    total: Array = tables[0].take(cells[:, 0], axis=0)
    for g in range(1, len(tables)):
        join(total, tables[g].take(cells[:, g], axis=0), out=total)
    return total


def _groups(scopes: Sequence[tuple[int, ...]], n_options: Indices) -> list[list[int]]:
    """Which tables are joined: to the first that is left, always what makes it grow least."""

    def cells(choices: set[int]) -> int:
        return int(np.prod([n_options[c] for c in choices], dtype=np.int64))

    left, groups = list(range(len(scopes))), list[list[int]]()
    while left:
        group = [left.pop(0)]
        choices = set(scopes[group[0]])
        while left:
            best = min(left, key=lambda i: cells(choices | set(scopes[i])))
            if cells(choices | set(scopes[best])) > max(_MOST_CELLS, cells(choices)):
                break
            left.remove(best)
            group.append(best)
            choices |= set(scopes[best])
        groups.append(group)
    return groups


def _spread(choices: tuple[int, ...], table: Array, axes: Sequence[int]) -> Array:
    """A table with an axis per choice of `axes`, of length 1 where it does not depend on it."""
    order = [1 + choices.index(c) for c in axes if c in choices]
    shape = [table.shape[1 + choices.index(c)] if c in choices else 1 for c in axes]
    return table.transpose(0, *order).reshape(len(table), *shape)
