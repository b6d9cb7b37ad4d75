"""What all cell spaces share: choices from a wiring, costs from the plans of the deployed network.

One set of choices rules every cell of a kind. Costs are those of the network that is deployed, never of the
one that is searched; the two differ in scale only.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from hwnas.core.arrays import Array
from hwnas.core.choice import Arch, Choice
from hwnas.core.network_space import NetworkSpace, Scale
from hwnas.core.position import Position
from hwnas.networks.cell_blocks import CellBlock, CellOp
from hwnas.networks.cell_layers import cell_module
from hwnas.networks.cells import CellNetwork, CellPlan, Fixed, Plan, Wiring

from .paths import path_features


def edge_choices(kind: str, wiring: Wiring, operations: Sequence[str], keep: int) -> list[Choice]:
    """One choice per edge, named `kind.<source>-<target>`; keep: edges per node, 0 for all free."""
    return [Choice(f"{kind}.{s}-{t}", tuple(operations), f"{kind}.{t}", keep) for s, t in wiring.edges]


class CellSpace(NetworkSpace):
    """A space of one or more kinds of cells in a fixed skeleton."""

    pool_norm = False
    """Whether a norm follows a pooling in the search network."""

    def __init__(
        self,
        name: str,
        file: str | None,
        kinds: Sequence[str],
        wiring: Wiring,
        operations: Sequence[str],
        keep: int,
        scale: Scale,
        search: Scale,
    ) -> None:
        """A space from its parts.

        name: the space's.
        file: the path of a user's definition; None for a space of the package.
        kinds: the kinds of cells, each with choices of its own.
        wiring: the graph of every cell.
        operations: the options of every edge.
        keep: edges per node; 0 for all free.
        scale: of the network that is deployed.
        search: of the network that is searched.
        """
        self.kinds, self.wiring, self.operations = tuple(kinds), wiring, tuple(operations)
        self.scale, self._search, self._file = scale, search, file
        self.ops = tuple(CellOp.parse(o) for o in operations)
        super().__init__(name, [c for k in kinds for c in edge_choices(k, wiring, operations, keep)])
        self._blocks: dict[str, CellBlock] = {}
        self.positions = tuple(self._positions())

    @abstractmethod
    def plans(self, scale: Scale) -> list[Plan]:
        """The network at `scale`, head last."""

    @property
    def search_scale(self) -> Scale:
        """Of the network that is searched: fewer cells and channels, norms without scale and shift."""
        return self._search

    def choice(self, kind: str, source: int, target: int) -> int:
        """The index of the choice that rules an edge of all cells of a kind."""
        n = self.kinds.index(kind) * len(self.wiring.edges)
        return n + self.wiring.edges.index((source, target))

    @property
    def dimensions(self) -> tuple[str, dict[str, float]]:
        """`20x36`: cells and channels."""
        s = self.scale
        return f"{s.cells}x{s.channels}", {"cells": s.cells, "channels": s.channels}

    def _add(self, block: CellBlock) -> str:
        self._blocks[block.key] = block
        return block.key

    def _fixed(self, block: CellBlock, held_bytes: int = 0) -> Position:
        return Position((), np.array(self._add(block), dtype=object), held_bytes)

    def _positions(self) -> list[Position]:
        positions: list[Position] = []
        for plan in self.plans(self.scale):
            positions += [self._fixed(plan.block)] if isinstance(plan, Fixed) else self._cell_positions(plan)
        return positions

    def _cell_positions(self, plan: CellPlan) -> list[Position]:
        """The blocks of a cell, each with an upper bound of the bytes that the cell holds while it runs.

        A cell holds its raw last input, which the next cell reads, its inputs, the nodes so far, and a
        partial sum. An input that no later edge reads is counted too.
        """
        raw = [4 * b.c_in * b.size**2 for b in plan.before]
        node = 4 * plan.c * plan.size_out**2
        state = 4 * plan.c * plan.size**2
        positions = [self._fixed(b, sum(raw[i + 1 :]) + i * state) for i, b in enumerate(plan.before)]
        for source, target in plan.wiring.edges:
            keys = np.empty(len(self.ops), dtype=object)
            for k, op in enumerate(self.ops):
                block = plan.edge_block(source, op)
                keys[k] = None if block is None else self._add(block)
            held = sum(raw[-1:]) + len(plan.reads) * state + node * (target - plan.wiring.n_inputs + 1)
            read = node if source >= plan.wiring.n_inputs else state
            positions.append(Position((self.choice(plan.kind, source, target),), keys, held - read))
        return positions

    def structure(self, archs: Sequence[Arch]) -> dict[str, Array]:
        """Per kind of cell how often each operation is live, and what the live paths are made of."""
        indices, n_edges = self.indices(archs), len(self.wiring.edges)
        counts: list[Array] = []
        paths: list[Array] = []
        for kind in range(len(self.kinds)):
            edges = indices[:, kind * n_edges : (kind + 1) * n_edges]
            counts += [np.sum(edges == k, axis=1, dtype=np.float64) for k in range(len(self.operations))]
            paths += path_features(self.wiring, self.ops, edges)
        return {"operations": np.stack(counts, axis=1), "paths": np.stack(paths, axis=1)}

    def operations_of(self, arch: Arch) -> dict[str, dict[tuple[int, int], CellOp]]:
        """Per kind of cell the operation on each edge."""
        return {
            kind: {(s, t): self.ops[arch[self.choice(kind, s, t)]] for s, t in self.wiring.edges}
            for kind in self.kinds
        }

    def build(self, arch: Arch, scale: Scale | None = None) -> CellNetwork:
        """The network of `arch`, as deployed or at another scale."""
        scale = self.scale if scale is None else scale
        pool_norm = self.pool_norm and not scale.affine
        make = partial(cell_module, affine=scale.affine, pool_norm=pool_norm)
        return CellNetwork(self.plans(scale), make, self.operations_of(arch))

    def prefixes(self, arch: Arch) -> tuple[str, ...]:
        """Fixed blocks by their plan; in a cell those before its inputs, then those of its edges."""
        ops, prefixes = self.operations_of(arch), list[str]()
        for i, plan in enumerate(self.plans(self.scale)):
            names = [""]
            if isinstance(plan, CellPlan):
                names = [f"before.{k}/" for k in range(len(plan.before))]
                edges = (e for e in plan.wiring.edges if plan.edge_block(e[0], ops[plan.kind][e]) is not None)
                names += [f"{source}_{target}/" for source, target in edges]
            prefixes += [f"/pieces.{i}/{name}" for name in names]
        return tuple(prefixes)

    def describe(self, arch: Arch) -> list[dict[str, Any]]:
        """One dictionary per block, stem first, head last."""
        return [describe_block(self._blocks[key], i) for i, key in enumerate(self.block_keys(arch))]


def describe_block(block: CellBlock, i: int) -> dict[str, Any]:
    """A block as a row for drawings; i: its place in the network."""
    shape_out = [block.n_classes, 1, 1] if block.n_classes else [block.c_out, block.size_out, block.size_out]
    return {
        "name": block.key if block.kind in ("stem", "head") else f"block {i}",
        "kind": block.kind,
        "kernel": block.kernel,
        "expand": 0,
        "se": False,
        "act": "relu",
        "in": [block.c_in, block.size, block.size],
        "out": shape_out,
        "stride": block.stride,
        "residual": block.kind == "residual",
        "macs": block.macs,
        "params": block.params,
    }
