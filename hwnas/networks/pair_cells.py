"""Cells of blocks that add two results, as in PNAS (Liu et al. 2018, 1712.00559): the deployed form.

A state is an input of the cell or a block. A block has two sides, and each applies an operation to an earlier
state; both may read the same one. The output is all blocks side by side.
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
        return torch.cat(states[N_INPUTS:], dim=1)


class PairNetwork(PlannedNetwork):
    """Images (b, c, h, w) to logits (b, n_classes). affine: whether the norms learn scale and shift."""

    def __init__(self, plans: Sequence[Plan], pairs: Pairs, *, affine: bool) -> None:
        make = partial(cell_module, affine=affine)
        super().__init__(plans, make, lambda plan: PairCell(plan, make, pairs))

    def forward(self, x: Tensor) -> Tensor:
        """x: (b, c, h, w), normalised floats."""
        return self.run(x, lambda _, cell, inputs: cell(inputs))
