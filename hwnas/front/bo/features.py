"""What architectures look like to a surrogate: a few structural numbers instead of one-hot choices.

A space may state its own (`structure(archs)`); otherwise they derive from what it offers:

- any space: how often each option is chosen, per stage (choices named alike) and in all; the number that a
  numeric option stands for;
- a `NetworkSpace` also: log MACs and log parameters, depth, and per stage means of what its blocks state
  (kernel, expansion, width, share of squeeze-and-excite);
- a cell space instead: per kind of cell how often each operation is live, the number of live paths, and over
  the paths the most convolutions, their mean, the widest reach and the fewest operations that are no skip.

Architectures are given in canonical form, in which the dead edges of a cell are `none`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hwnas.core.arrays import Array, Indices
from hwnas.core.choice import NONE
from hwnas.core.network_space import NetworkSpace

if TYPE_CHECKING:
    from hwnas.core.choice import Arch
    from hwnas.core.space import Space
    from hwnas.spaces.cells import CellSpace


_MOST_STAGES = 6
_MEANS = ("kernel", "mid", "c_out", "se")
"""Features of a block (`Priced.features`) of which a stage gets the mean; `mid` is the expanded width."""


class Features:
    """Features of a space's architectures, as unscaled columns."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._stages = stages(space)
        self._blocks = BlockTables(space, self._stages) if isinstance(space, NetworkSpace) else None

    def structure(self, archs: Sequence[Arch]) -> list[Array]:
        """Structural numbers by what they are about: (n,) architectures -> groups (n, features)."""
        indices = as_indices(self._space, archs)
        if hasattr(self._space, "wiring"):
            groups = cell_features(self._space, indices)  # type: ignore[arg-type]  # asked for above
        else:
            groups = [option_counts(self._space, indices, self._stages)]
        if self._blocks is not None:
            groups += self._blocks.features(indices)
        return groups

    def groups(self, archs: Sequence[Arch], sizes: Array) -> list[Array]:
        """The groups of the kernel: structure, and one-hot choices, whose distance counts those that differ.

        sizes: log costs (n, costs), which stand in for what a space without blocks cannot say.
        """
        groups = self.structure(archs)
        if self._blocks is None:
            groups[0] = np.concatenate([groups[0], sizes], axis=1)
        return [*groups, self._space.encode(archs)]


def as_indices(space: Space, archs: Sequence[Arch]) -> Indices:
    """(n, choices), also for no architecture."""
    return np.asarray(archs, dtype=np.int64).reshape(len(archs), len(space.choices))


def stages(space: Space) -> list[int]:
    """Per choice its stage: choices named alike (`stage2.1`), in sixths of the list where they are many."""
    names = [c.name.split(".")[0] for c in space.choices]
    order = {name: i for i, name in enumerate(dict.fromkeys(names))}
    if len(order) <= _MOST_STAGES:
        return [order[name] for name in names]
    return [order[name] * _MOST_STAGES // len(order) for name in names]


def option_counts(space: Space, indices: Indices, stage_of: Sequence[int]) -> Array:
    """Per option its count in each stage and in all; a choice of numbers gives the chosen number."""
    columns: list[Array] = []
    counted: dict[str, dict[int, list[tuple[int, int]]]] = {}
    for c, choice in enumerate(space.choices):
        if all(_is_number(o) for o in choice.options):
            columns.append(np.array([float(o) for o in choice.options])[indices[:, c]])
            continue
        for k, option in enumerate(choice.options):
            counted.setdefault(option, {}).setdefault(stage_of[c], []).append((c, k))
    for by_stage in counted.values():
        counts: list[Array] = [
            np.sum([indices[:, c] == k for c, k in places], axis=0, dtype=np.float64)
            for places in by_stage.values()
        ]
        columns += counts
        if len(counts) > 1:
            columns.append(np.sum(counts, axis=0))
    return np.stack(columns, axis=1) if columns else np.zeros((len(indices), 0))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class BlockTables:
    """What the blocks of a network space add up to, as one table per position (see `Position`)."""

    def __init__(self, space: NetworkSpace, stage_of: Sequence[int]) -> None:
        blocks = space.blocks()
        described = {key: block.features for key, block in blocks.items()}
        means = [m for m in _MEANS if all(m in d for d in described.values())]
        n_stages = max(stage_of) + 1
        self._per_stage = len(means) > 0
        self._n_stages, self._n_means = n_stages, len(means)
        zero = np.zeros(3 + len(means))
        rows = {
            key: np.array([b.macs, b.params, 1.0, *(described[key][m] for m in means)], dtype=np.float64)
            for key, b in blocks.items()
        }
        fixed = np.zeros((n_stages, len(zero)))
        tables: dict[tuple[int, ...], Array] = {}
        for position in space.positions:
            flat = [zero if k is None else rows[k] for k in position.keys.ravel()]
            table = np.reshape(flat, (*position.keys.shape, len(zero)))
            if not position.choices:
                fixed[0, :2] += table[:2]
            elif position.choices in tables:
                tables[position.choices] = tables[position.choices] + table
            else:
                tables[position.choices] = table
        self._fixed = fixed
        self._tables = [(stage_of[choices[-1]], list(choices), t) for choices, t in tables.items()]

    def features(self, indices: Indices) -> list[Array]:
        """Log MACs and parameters; where blocks state their make also depth and means per stage."""
        sums = np.repeat(self._fixed[None], len(indices), axis=0)
        for stage, choices, table in self._tables:
            sums[:, stage] += table[tuple(indices[:, c] for c in choices)]
        sizes = np.log1p(sums[:, :, :2].sum(axis=1))
        if not self._per_stage:
            return [sizes]
        depth, in_all = sums[:, :, 2], sums[:, :, 2].sum(axis=1, keepdims=True)
        means = sums[:, :, 3:] / np.maximum(depth, 1)[:, :, None]
        mean_in_all = sums[:, :, 3:].sum(axis=1) / np.maximum(in_all, 1)
        return [sizes, np.hstack([depth, in_all, means.reshape(len(indices), -1), mean_in_all])]


def cell_features(space: CellSpace, indices: Indices) -> list[Array]:
    """Per kind of cell: live operations, and what the live paths are made of; two groups."""
    counts: list[Array] = []
    paths: list[Array] = []
    n_edges = len(space.wiring.edges)
    for kind in range(len(space.kinds)):
        edges = indices[:, kind * n_edges : (kind + 1) * n_edges]
        counts += [np.sum(edges == k, axis=1, dtype=np.float64) for k in range(len(space.operations))]
        paths += path_features(space, edges)
    return [np.stack(counts, axis=1), np.stack(paths, axis=1)]


def path_features(space: CellSpace, edges: Indices) -> list[Array]:
    """By dynamic programming over the nodes: (n, edges) -> five columns (n,).

    log(1 + paths); most and mean convolutions of a path; the widest reach in pixels (sum of kernel - 1); the
    fewest operations of a path that are no skip. A cell without a path gets 0 and, for the last, -1.
    """
    ops = space.ops
    none = space.operations.index(NONE) if NONE in space.operations else -1
    convolves = np.array([op.kind in ("sep", "dil", "nor") for op in ops], dtype=np.float64)
    reach = np.array([max(op.kernel - 1, 0) for op in ops], dtype=np.float64)
    acts = np.array([op.kind not in ("skip", NONE) for op in ops], dtype=np.float64)
    n, n_inputs, n_states = len(edges), space.wiring.n_inputs, max(t for _, t in space.wiring.edges) + 1
    far = 1e9
    paths, total = np.zeros((n_states, n)), np.zeros((n_states, n))
    most, widest, fewest = (np.full((n_states, n), v) for v in (-far, -far, far))
    paths[:n_inputs] = 1
    for values in (most, widest, fewest):
        values[:n_inputs] = 0
    for (s, t), option in zip(space.wiring.edges, edges.T, strict=True):
        live = (option != none) & (paths[s] > 0)
        paths[t] += np.where(live, paths[s], 0)
        total[t] += np.where(live, total[s] + paths[s] * convolves[option], 0)
        most[t] = np.where(live, np.maximum(most[t], most[s] + convolves[option]), most[t])
        widest[t] = np.where(live, np.maximum(widest[t], widest[s] + reach[option]), widest[t])
        fewest[t] = np.where(live, np.minimum(fewest[t], fewest[s] + acts[option]), fewest[t])
    last = slice(n_inputs, None) if space.wiring.concat else slice(n_states - 1, None)
    count, convolutions = paths[last].sum(0), total[last].sum(0)
    some = count > 0
    return [
        np.log1p(count),
        np.where(some, most[last].max(0), 0.0),
        convolutions / np.maximum(count, 1),
        np.where(some, widest[last].max(0), 0.0),
        np.where(some, fewest[last].min(0), -1.0),
    ]
