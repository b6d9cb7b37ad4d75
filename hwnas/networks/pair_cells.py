"""Cells of blocks that add two results, as in PNAS (Liu et al. 2018, 1712.00559): the deployed form.

A state is an input of the cell or a block. A block has two sides, and each applies an operation to an earlier
state; both may read the same one. The output is all blocks side by side. An input that no block reads is
added to the first of them (`joined`): the published networks keep such inputs in the output too, and without
it a cell that reads the older one alone would leave every second cell of the network without effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from .cell_blocks import CellOp
from .cell_layers import cell_module
from .cells import CellPlan, MakeModule, Plan, PlannedNetwork, Wiring, bring

N_INPUTS = 2

Side = tuple[int, CellOp]
"""The state that is read, and the operation on it."""
Pairs = Sequence[tuple[Side, Side]]
"""The two sides of each block."""


def pair_wiring(n_blocks: int) -> Wiring:
    """Two inputs and so many blocks, side by side; every earlier state can be read."""
    edges = tuple((s, t) for t in range(N_INPUTS, N_INPUTS + n_blocks) for s in range(t))
    return Wiring(N_INPUTS, edges, concat=True)


class PairCell(nn.Module):
    """A cell with one operation on each side of each block."""

    def __init__(self, plan: CellPlan, make: MakeModule, pairs: Pairs) -> None:
        super().__init__()
        self._reads = [(a[0], b[0]) for a, b in pairs]
        read = {source for sides in self._reads for source in sides}
        self._unread = [i for i in range(N_INPUTS) if i not in read]
        self._stride = plan.stride
        self.before = nn.ModuleList(make(block) for block in plan.before)
        self.sides = nn.ModuleList()
        for pair in pairs:
            blocks = [plan.edge_block(source, op) for source, op in pair]
            self.sides.append(nn.ModuleList(nn.Identity() if b is None else make(b) for b in blocks))

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Inputs: two (b, c, h, w)."""
        states = bring(self.before, inputs)
        for (i, j), sides in zip(self._reads, self.sides, strict=True):
            assert isinstance(sides, nn.ModuleList)
            states.append(sides[0](states[i]) + sides[1](states[j]))
        first, *others = states[N_INPUTS:]
        for i in self._unread:
            first = first + joined(states[i], self._stride)
        return torch.cat([first, *others], dim=1)


def joined(state: Tensor, stride: int) -> Tensor:
    """An input of a cell, as it joins the output: where the cell halves the image, every second pixel."""
    return state if stride == 1 else state[:, :, ::stride, ::stride]


class PairNetwork(PlannedNetwork):
    """Images (b, c, h, w) to logits (b, n_classes). affine: whether the norms learn scale and shift."""

    def __init__(self, plans: Sequence[Plan], pairs: Pairs, *, affine: bool) -> None:
        make = partial(cell_module, affine=affine)
        super().__init__(plans, make, lambda plan: PairCell(plan, make, pairs))

    def forward(self, x: Tensor) -> Tensor:
        """x: (b, c, h, w), normalised floats."""
        return self.run(x, lambda _, cell, inputs: cell(inputs))
