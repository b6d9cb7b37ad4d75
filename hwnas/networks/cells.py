"""Cell networks: what they are made of, as data, and the deployed form.

A network is a row of plans: fixed blocks and cells. Each says which outputs it reads, so that the two inputs
of a DARTS cell and the one of a NAS-Bench-201 cell are the same thing. The supernet runs the same plans with
mixed cells (`supernets.cell`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hwnas.core.number import Number, may_count

from .cell_blocks import CellBlock, CellOp
from .cell_layers import Auxiliary

IMAGE = -1
"""Stands among `reads` for the image."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """The graph of a cell: states are its inputs, then its nodes; edges (source, target) by target.

    A node is the sum of its edges. The output is all nodes side by side, or the last one.
    """

    n_inputs: int
    edges: tuple[tuple[int, int], ...]
    concat: bool

    @property
    def nodes(self) -> tuple[int, ...]:
        """The states that are sums."""
        return tuple(sorted({target for _, target in self.edges}))


@dataclass(frozen=True, slots=True)
class Fixed:
    """A block that no choice rules."""

    block: CellBlock
    reads: tuple[int, ...]

    @property
    def c_out(self) -> int:
        """Channels of the output."""
        return self.block.c_out

    @property
    def size_out(self) -> int:
        """Side of the output in pixels."""
        return self.block.size_out


@dataclass(frozen=True, slots=True)
class CellPlan:
    """One cell.

    kind: which choices rule it.
    wiring: its graph.
    c: channels of each state.
    size: side of the inputs in pixels.
    stride: of the edges that leave an input.
    before: per input the block that brings it to (c, size).
    reads: the plans whose outputs are its inputs.
    """

    kind: str
    wiring: Wiring
    c: int
    size: int
    stride: int
    before: tuple[CellBlock, ...]
    reads: tuple[int, ...]

    @property
    def c_out(self) -> int:
        """Channels of the output."""
        return self.c * (len(self.wiring.nodes) if self.wiring.concat else 1)

    @property
    def size_out(self) -> int:
        """Side of the output in pixels."""
        return -(-self.size // self.stride)

    def edge_stride(self, source: int) -> int:
        """Stride of the edges that leave state `source`."""
        return self.stride if source < self.wiring.n_inputs else 1

    def edge_block(self, source: int, op: CellOp) -> CellBlock | None:
        """The block of an operation on an edge; None for the identity and for no edge."""
        inner = source >= self.wiring.n_inputs
        size, stride = (self.size_out, 1) if inner else (self.size, self.stride)
        if op.kind == "none" or (op.kind == "skip" and stride == 1):
            return None
        kind = "reduce" if op.kind == "skip" else op.kind
        return CellBlock(kind, self.c, self.c, size, stride=stride, kernel=op.kernel or 1)


Plan = Fixed | CellPlan
MakeModule = Callable[[CellBlock], nn.Module]
"""The module of a block, as the scale of the network wants it."""


class PlannedNetwork(nn.Module):
    """A module per plan, run in order; an output is dropped after its last reader."""

    def __init__(
        self, plans: Sequence[Plan], make: MakeModule, make_cell: Callable[[CellPlan], nn.Module]
    ) -> None:
        super().__init__()
        self.plans = tuple(plans)
        self.pieces = nn.ModuleList(
            make(p.block) if isinstance(p, Fixed) else make_cell(p) for p in self.plans
        )
        last_reader = {output: reader for reader, p in enumerate(self.plans) for output in p.reads}
        self._dead = [[o for o, reader in last_reader.items() if reader == i] for i in range(len(self.plans))]

    def run(self, x: Tensor, run_cell: Callable[[int, nn.Module, list[Tensor]], Tensor]) -> Tensor:
        """x: (b, c, h, w); run_cell gets the index of the cell's plan, its module and its inputs."""
        outputs = {IMAGE: x}
        for i, (plan, piece) in enumerate(zip(self.plans, self.pieces, strict=True)):
            inputs = [outputs[r] for r in plan.reads]
            outputs[i] = piece(inputs[0]) if isinstance(plan, Fixed) else run_cell(i, piece, inputs)
            for o in self._dead[i]:
                del outputs[o]
        return outputs[len(self.plans) - 1]


def bring(before: nn.ModuleList, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The input states of a cell, each through its own block; as they are where there is none."""
    if not len(before):
        return list(inputs)
    return [block(x) for block, x in zip(before, inputs, strict=True)]


class DeployedCell(nn.Module):
    """A cell with one operation on each edge that is there."""

    def __init__(self, plan: CellPlan, make: MakeModule, ops: Mapping[tuple[int, int], CellOp]) -> None:
        super().__init__()
        self.plan = plan
        self.before = nn.ModuleList(make(b) for b in plan.before)
        self.edges = nn.ModuleDict()
        for (source, target), op in ops.items():
            if op.kind != "none":
                block = plan.edge_block(source, op)
                self.edges[f"{source}_{target}"] = nn.Identity() if block is None else make(block)

    def forward(self, inputs: Sequence[Tensor], drop_path: float) -> Tensor:
        """Inputs: one (b, c, h, w) per input state. drop_path: probability to drop an edge that computes."""
        states = bring(self.before, inputs)
        for target in self.plan.wiring.nodes:
            terms = []
            for source in range(target):
                if f"{source}_{target}" in self.edges:
                    edge = self.edges[f"{source}_{target}"]
                    y = edge(states[source])
                    terms.append(y if isinstance(edge, nn.Identity) else drop_paths(y, drop_path))
            states.append(sum(terms[1:], terms[0]) if terms else self._nothing(states[0]))
        if not self.plan.wiring.concat:
            return states[-1]
        return torch.cat([states[n] for n in self.plan.wiring.nodes], dim=1)

    def _nothing(self, x: Tensor) -> Tensor:
        s = self.plan.stride
        return torch.zeros_like(x[:, :, ::s, ::s])


def drop_paths(y: Tensor, probability: Number) -> Tensor:
    """Y (b, c, h, w) with whole images set to 0, the others scaled so that the mean stays."""
    if not may_count(probability):
        return y
    keep = 1 - probability
    return y * (torch.rand(len(y), 1, 1, 1, device=y.device, dtype=y.dtype) < keep) / keep


def dropout(x: Tensor, probability: Number) -> Tensor:
    """X with single values set to 0, the others scaled so that the mean stays."""
    if isinstance(probability, Tensor):
        return x * (torch.rand_like(x) >= probability) / (1 - probability)
    return F.dropout(x, probability)


class CellNetwork(PlannedNetwork):
    """Images (b, c, h, w) to logits (b, n_classes).

    drop_path: probability to drop an edge that computes; set it per epoch. It acts in training only.
    auxiliary: a second classifier for training, whose logits `forward_both` returns too.
    """

    def __init__(
        self,
        plans: Sequence[Plan],
        make: MakeModule,
        ops: Mapping[str, Mapping[tuple[int, int], CellOp]],
    ) -> None:
        super().__init__(plans, make, lambda plan: DeployedCell(plan, make, ops[plan.kind]))
        self.drop_path = 0.0
        self.auxiliary: Auxiliary | None = None
        self._auxiliary_reads = IMAGE

    def add_auxiliary(self, reads: int, n_classes: int) -> None:
        """Let a second classifier read the output of plan `reads`."""
        plan = self.plans[reads]
        if isinstance(plan, CellPlan):
            self.auxiliary, self._auxiliary_reads = Auxiliary(plan.c_out, plan.size_out, n_classes), reads

    def forward(self, x: Tensor) -> Tensor:
        """x: (b, c, h, w), normalised floats."""
        p = self.drop_path if self.training else 0.0
        return self.run(x, lambda i, cell, inputs: cell(inputs, p))

    def forward_both(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The logits, and those of the auxiliary classifier where there is one."""
        second: list[Tensor] = []

        def run_cell(i: int, cell: nn.Module, inputs: list[Tensor]) -> Tensor:
            output: Tensor = cell(inputs, self.drop_path if self.training else 0.0)
            if i == self._auxiliary_reads and self.auxiliary is not None:
                second.append(self.auxiliary(output))
            return output

        logits = self.run(x, run_cell)
        return logits, second[0] if second else None
