"""The space `recurrent`: a cell that reads a text symbol by symbol (Liu et al. 2019, 1806.09055, 3.2).

Node 0 mixes symbol and state; each further node reads one earlier node through one activation; the new state
is their mean. The width of the state is a choice too. Costs are those of one symbol.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hwnas.core.choice import NONE, Arch, Choice
from hwnas.core.network_space import NetworkSpace, Scale
from hwnas.core.position import Position
from hwnas.networks.recurrent import RecurrentNetwork
from hwnas.networks.recurrent_blocks import ACTIVATIONS, RecurrentBlock
from targets.errors import UsageError, did_you_mean

CELL = "cell"

DARTS_V2 = (
    ("sigmoid", 0), ("relu", 1), ("relu", 1), ("identity", 1),
    ("tanh", 2), ("sigmoid", 5), ("tanh", 3), ("relu", 5),
)  # fmt: skip
"""The cell that second-order DARTS found on Penn Treebank: activation and earlier node of each node."""


class RecurrentSpace(NetworkSpace):
    """See the module's docstring; `load_space('recurrent', …)` makes one."""

    def __init__(
        self,
        operations: Sequence[str],
        nodes: int,
        widths: Sequence[int],
        scale: Scale,
        file: str | None = None,
    ) -> None:
        for name in operations:
            if name not in (NONE, *ACTIVATIONS):
                raise UsageError(
                    f"unknown operation {name!r} of a node; {did_you_mean(name, (NONE, *ACTIVATIONS))}"
                )
        self.operations, self.n_nodes, self.widths = tuple(operations), nodes, tuple(widths)
        self.scale, self._file = scale, file
        self.edges = [(s, t) for t in range(1, nodes + 1) for s in range(t)]
        choices = [Choice("width", tuple(f"w{width}" for width in widths))]
        choices += [Choice(f"{CELL}.{s}-{t}", self.operations, f"{CELL}.{t}", 1) for s, t in self.edges]
        super().__init__("recurrent", choices)
        self._blocks: dict[str, RecurrentBlock] = {}
        self.positions = tuple(self._positions())

    def _add(self, block: RecurrentBlock) -> str:
        self._blocks[block.key] = block
        return block.key

    def _positions(self) -> list[Position]:
        """Embedding, first node, edges, mean, decoder; while a node runs, all nodes so far are held."""
        n = self.scale.n_classes
        held = 4 * max(self.widths)
        fixed = [
            (self._by_width("embed", n), held),
            (self._by_width("first"), 0),
            (self._by_width("mean", self.n_nodes), 0),
            (self._by_width("decode", n), held),
        ]
        ends = [Position((0,), keys, bytes_) for keys, bytes_ in fixed]
        edges = []
        for i, (_, target) in enumerate(self.edges):
            keys = np.full((len(self.widths), len(self.operations)), None, dtype=object)
            for k, name in enumerate(self.operations):
                if name != NONE:
                    keys[:, k] = self._by_width(name)
            edges.append(Position((0, 1 + i), keys, (target - 1) * held))
        return [*ends[:2], *edges, *ends[2:]]

    def _by_width(self, kind: str, n: int = 0) -> Any:
        return np.array([self._add(RecurrentBlock(kind, width, n)) for width in self.widths], dtype=object)

    @property
    def dimensions(self) -> tuple[str, dict[str, float]]:
        """`8x32-64-128`: nodes and widths, which the file says."""
        return f"{self.n_nodes}x{'-'.join(map(str, self.widths))}", {}

    def cell_of(self, arch: Arch) -> list[tuple[str, int]]:
        """Per node its activation and the earlier node that it reads."""
        chosen: dict[int, tuple[str, int]] = {}
        for (source, target), k in zip(self.edges, arch[1:], strict=True):
            if self.operations[k] != NONE:
                chosen[target] = (self.operations[k], source)
        return [chosen[target] for target in range(1, self.n_nodes + 1)]

    def arch_of(self, cell: Sequence[tuple[str, int]], width: int) -> Arch:
        """The inverse of `cell_of`. width: an index into `widths`."""
        options = {(source, t): name for t, (name, source) in enumerate(cell, 1)}
        return (width, *(self.operations.index(options.get(edge, NONE)) for edge in self.edges))

    def published(self) -> list[Arch]:
        """The cell of DARTS at every width, where the space has it."""
        if self.n_nodes != len(DARTS_V2) or not {name for name, _ in DARTS_V2} <= set(self.operations):
            return []
        return [self.arch_of(DARTS_V2, width) for width in range(len(self.widths))]

    def _blocks_of(self, arch: Arch) -> list[RecurrentBlock]:
        """In the order of the network: nodes by their number."""
        return [self._blocks[key] for key in self.block_keys(arch)]

    def build(self, arch: Arch, scale: Scale | None = None) -> RecurrentNetwork:
        """The network of `arch`; there is one scale."""
        sources = [source for _, source in self.cell_of(arch)]
        return RecurrentNetwork(self._blocks_of(arch), sources, (scale or self.scale).image_size)

    def prefixes(self, arch: Arch) -> tuple[str, ...]:
        """Embedding, first node, nodes, mean, decoder."""
        nodes = [f"/nodes.{i}/" for i in range(self.n_nodes)]
        return ("/embed/", "/first/", *nodes, "/mean/", "/decode/")

    def describe(self, arch: Arch) -> list[dict[str, Any]]:
        """One dictionary per block; a node says which it reads."""
        sources = dict(enumerate((source for _, source in self.cell_of(arch)), 2))
        rows = []
        for i, block in enumerate(self._blocks_of(arch)):
            name = f"node {i - 1} of node {sources[i]}" if i in sources else block.kind
            shape_in = [1] if block.kind == "embed" else [block.width]
            rows.append(
                {
                    "name": name,
                    "kind": block.kind,
                    "kernel": 0,
                    "expand": 0,
                    "se": False,
                    "act": block.kind if block.kind in ACTIVATIONS else "",
                    "in": [*shape_in, 1, 1],
                    "out": [block.n if block.kind == "decode" else block.width, 1, 1],
                    "stride": 1,
                    "residual": False,
                    "macs": block.macs,
                    "params": block.params,
                }
            )
        return rows
