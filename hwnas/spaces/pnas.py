"""The space `pnas`: one kind of cell, whose blocks add two operations (Liu et al. 2018, 1712.00559).

A cell grows block by block (`GrowingSpace`), which is how strategy `pnas` searches it. The same cell with
stride 2 stands at a third and two thirds of the network, which doubles its channels there.

Differs from the paper in one way: the output of a cell is all of its blocks and not only those that no other
block reads, so that the cost of a network is a sum over its choices. An input that no block reads joins the
output, as in the paper's code.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hwnas.core.arrays import Array
from hwnas.core.choice import Arch, Choice
from hwnas.core.network_space import NetworkSpace, Scale
from hwnas.core.position import Position
from hwnas.networks.cell_blocks import CellBlock, CellOp
from hwnas.networks.cells import CellPlan, Fixed, Plan
from hwnas.networks.pair_cells import N_INPUTS, PairNetwork, Pairs, pair_wiring

from .cells import describe_block
from .darts import is_large, stem_plans

CELL = "cell"
_SIDE = 2
"""Choices per side of a block: what it reads, and the operation."""


class PnasSpace(NetworkSpace):
    """See the module's docstring; `load_space('pnas', …)` makes one."""

    def __init__(
        self, operations: Sequence[str], n_blocks: int, scale: Scale, search: Scale, file: str | None = None
    ) -> None:
        self.operations, self.n_blocks, self._file = tuple(operations), n_blocks, file
        self.ops = tuple(CellOp.parse(name) for name in operations)
        self.scale, self._search = scale, search
        choices = [Choice("blocks", tuple(str(n + 1) for n in range(n_blocks)))]
        for b in range(n_blocks):
            states = ("older", "newer", *(f"block{i}" for i in range(b)))
            for side in ("a", "b"):
                choices.append(Choice(f"block{b}.from_{side}", states))
                choices.append(Choice(f"block{b}.op_{side}", self.operations))
        super().__init__("pnas", choices)
        self._blocks: dict[str, CellBlock] = {}
        self.positions = tuple(self._positions())

    @property
    def search_scale(self) -> Scale:
        """Of the network that is searched: fewer cells and channels, norms without scale and shift."""
        return self._search

    @property
    def dimensions(self) -> tuple[str, dict[str, float]]:
        """`11x48`: cells and channels."""
        s = self.scale
        return f"{s.cells}x{s.channels}", {"cells": s.cells, "channels": s.channels}

    def side(self, block: int, side: int) -> int:
        """The index of the choice of what a side (0 or 1) reads; that of its operation follows."""
        return 1 + 2 * _SIDE * block + _SIDE * side

    def canonical(self, arch: Arch) -> Arch:
        """The sides of a block in order; blocks beyond the last one have the first option everywhere."""
        parts = [arch[:1]]
        for b in range(self.n_blocks):
            first = self.side(b, 0)
            sides = sorted((arch[first : first + _SIDE], arch[first + _SIDE : first + 2 * _SIDE]))
            parts += sides if b <= arch[0] else [(0, 0), (0, 0)]
        return tuple(itertools.chain.from_iterable(parts))

    def pairs(self, arch: Arch) -> Pairs:
        """Per block what its two sides read and do."""
        sides = [
            [(arch[c], self.ops[arch[c + 1]]) for c in (self.side(b, 0), self.side(b, 1))]
            for b in range(arch[0] + 1)
        ]
        return [(a, b) for a, b in sides]

    @property
    def n_sizes(self) -> int:
        """Sizes are numbers of blocks."""
        return self.n_blocks

    def size_of(self, arch: Arch) -> int:
        """How many blocks its cell has."""
        return arch[0] + 1

    def smallest(self) -> Iterator[Arch]:
        """The cells of one block: 136 with eight operations, as in section 4.2 of the paper."""
        return self._with_block((), 0)

    def grown(self, arch: Arch) -> Iterator[Arch]:
        """Every cell with one block more."""
        blocks = self.size_of(arch)
        if blocks == self.n_blocks:
            return iter(())
        return self._with_block(arch[1 : self.side(blocks, 0)], blocks)

    def _with_block(self, before: Arch, block: int) -> Iterator[Arch]:
        sides = list(itertools.product(range(N_INPUTS + block), range(len(self.ops))))
        missing = (0,) * (len(self.choices) - self.side(block + 1, 0))
        for a, b in itertools.combinations_with_replacement(sides, 2):
            yield (block, *before, *a, *b, *missing)

    def structure(self, archs: Sequence[Arch]) -> dict[str, Array]:
        """Blocks, how often each operation stands in a cell, and how deep and wide the cell is."""
        indices = self.indices(archs)
        live = np.arange(self.n_blocks) <= indices[:, :1]
        counts = np.zeros((len(archs), len(self.ops)))
        depth = np.zeros((len(archs), N_INPUTS + self.n_blocks))
        unread = np.ones((len(archs), self.n_blocks), dtype=np.bool_)
        rows = np.arange(len(archs))
        works = np.array([op.kind != "skip" for op in self.ops], dtype=np.float64)
        for b in range(self.n_blocks):
            reached = []
            for side in (0, 1):
                source, op = (indices[:, self.side(b, side) + k] for k in (0, 1))
                counts[rows, op] += live[:, b]
                reached.append(depth[rows, source] + works[op])
                inner = live[:, b] & (source >= N_INPUTS)
                unread[rows[inner], source[inner] - N_INPUTS] = False
            depth[:, N_INPUTS + b] = np.where(live[:, b], np.maximum(*reached), 0)
        shape = [live.sum(axis=1), depth.max(axis=1), depth.sum(axis=1), (unread & live).sum(axis=1)]
        return {"operations": counts, "cell": np.stack(shape, axis=1).astype(np.float64)}

    def plans(self, scale: Scale, n_blocks: int) -> list[Plan]:
        """The network at `scale` with so many blocks per cell: stem, cells, head."""
        plans, c = stem_plans(scale), scale.channels
        last = len(plans) - 1
        reads = (max(last - 1, 0), last) if is_large(scale.image_size) else (last, last)
        wiring = pair_wiring(n_blocks)
        for layer in range(scale.cells):
            reduction = layer in (scale.cells // 3, 2 * scale.cells // 3)
            c *= 2 if reduction else 1
            older, newer = (plans[r] for r in reads)
            halve = older.size_out != newer.size_out
            kind, stride = ("reduce", 2) if halve else ("nor", 1)
            before = (
                CellBlock(kind, older.c_out, c, older.size_out, stride=stride),
                CellBlock("nor", newer.c_out, c, newer.size_out),
            )
            plans.append(
                CellPlan(
                    kind=CELL,
                    wiring=wiring,
                    c=c,
                    size=newer.size_out,
                    stride=2 if reduction else 1,
                    before=before,
                    reads=reads,
                )
            )
            reads = (reads[1], len(plans) - 1)
        width, size = plans[-1].c_out, plans[-1].size_out
        head = CellBlock("head", width, width, size, n_classes=scale.n_classes)
        return [*plans, Fixed(head, (len(plans) - 1,))]

    def build(self, arch: Arch, scale: Scale | None = None) -> PairNetwork:
        """The network of `arch`, as deployed or at another scale."""
        scale = self.scale if scale is None else scale
        return PairNetwork(self.plans(scale, self.size_of(arch)), self.pairs(arch), affine=scale.affine)

    def _add(self, block: CellBlock) -> str:
        self._blocks[block.key] = block
        return block.key

    def _positions(self) -> list[Position]:
        """The plans of all numbers of blocks side by side: what stands in a place depends on that number."""
        positions: list[Position] = []
        for same_place in zip(*(self.plans(self.scale, n + 1) for n in range(self.n_blocks)), strict=True):
            if isinstance(same_place[0], Fixed):
                positions.append(self._by_size([p.block for p in same_place if isinstance(p, Fixed)], 0))
            else:
                positions += self._cell_positions([p for p in same_place if isinstance(p, CellPlan)])
        return positions

    def _by_size(self, blocks: Sequence[CellBlock], held_bytes: int) -> Position:
        """A block per number of blocks of a cell; no choice rules it where all are the same."""
        keys = [self._add(block) for block in blocks]
        if len(set(keys)) == 1:
            return Position((), np.array(keys[0], dtype=object), held_bytes)
        return Position((0,), np.array(keys, dtype=object), held_bytes)

    def _cell_positions(self, plans: Sequence[CellPlan]) -> list[Position]:
        """The blocks of a cell; what it holds meanwhile is bounded by that of its largest form."""
        largest = plans[-1]
        raw = [4 * b.c_in * b.size**2 for b in largest.before]
        node, state = 4 * largest.c * largest.size_out**2, 4 * largest.c * largest.size**2
        held = (sum(raw[1:]), state)
        positions = [self._by_size([p.before[i] for p in plans], held[i]) for i in range(N_INPUTS)]
        for b, side in itertools.product(range(self.n_blocks), (0, 1)):
            keys = np.full((self.n_blocks, N_INPUTS + b, len(self.ops)), None, dtype=object)
            for source, (k, op) in itertools.product(range(N_INPUTS + b), enumerate(self.ops)):
                block = largest.edge_block(source, op)
                if block is not None:
                    keys[b:, source, k] = self._add(block)
            choice = self.side(b, side)
            held_bytes = raw[-1] + N_INPUTS * state + node * (b + side)
            positions.append(Position((0, choice, choice + 1), keys, held_bytes))
        return positions

    def prefixes(self, arch: Arch) -> tuple[str, ...]:
        """Fixed blocks by their plan; in a cell those before its inputs, then those of its blocks."""
        pairs, prefixes = self.pairs(arch), list[str]()
        for i, plan in enumerate(self.plans(self.scale, self.size_of(arch))):
            names = [""]
            if isinstance(plan, CellPlan):
                names = [f"before.{k}/" for k in range(len(plan.before))]
                for b, pair in enumerate(pairs):
                    blocks = [plan.edge_block(source, op) for source, op in pair]
                    names += [f"sides.{b}.{k}/" for k, block in enumerate(blocks) if block is not None]
            prefixes += [f"/pieces.{i}/{name}" for name in names]
        return tuple(prefixes)

    def describe(self, arch: Arch) -> list[dict[str, Any]]:
        """One dictionary per block, stem first, head last."""
        return [describe_block(self._blocks[key], i) for i, key in enumerate(self.block_keys(arch))]
