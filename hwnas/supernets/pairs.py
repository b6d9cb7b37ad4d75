"""The supernet of the space `pnas`: every operation on every side of every block.

An operation has the same weights whichever state it reads, but for those that halve the image, which have
their own. Where a cell has fewer blocks than the space allows, the missing ones are zeros, so that what reads
the cell needs no weights of its own for each number of blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from hwnas.core.choice import Arch
from hwnas.core.mix import Mix
from hwnas.core.network_space import Scale
from hwnas.networks.cell_layers import cell_module
from hwnas.networks.cells import CellPlan, MakeModule, PlannedNetwork, bring
from hwnas.networks.pair_cells import N_INPUTS, PairCell, joined
from hwnas.networks.wrappers import Wrapper
from hwnas.spaces.pnas import PnasSpace

from .supernet import Supernet, make, refuse_wrappers, use_batch_statistics

_SIZE = 0
"""Index of the choice of how many blocks a cell has."""


class SharedCell(nn.Module):
    """The weights of a cell. sides: per block, side and kind of state the options."""

    def __init__(self, space: PnasSpace, plan: CellPlan, make: MakeModule) -> None:
        super().__init__()
        self._space, self._plan = space, plan
        self.before = nn.ModuleList(make(block) for block in plan.before)
        self.sides = nn.ModuleDict()
        for b in range(space.n_blocks):
            states = (0, N_INPUTS) if plan.stride == 2 and b else (0,)
            for side, state in ((side, state) for side in (0, 1) for state in states):
                blocks = [plan.edge_block(state, op) for op in space.ops]
                options = (nn.Identity() if block is None else make(block) for block in blocks)
                self.sides[f"{b}_{side}_{state}"] = nn.ModuleList(options)

    def options(self, block: int, side: int, source: int) -> Sequence[nn.Module]:
        """The operations on a state that a side of a block can read."""
        inner = self._plan.stride == 2 and source >= N_INPUTS
        return cast(Sequence[nn.Module], self.sides[f"{block}_{side}_{N_INPUTS if inner else 0}"])

    def forward(self, inputs: Sequence[Tensor], mix: Mix) -> Tensor:
        """Inputs: two (b, c, h, w); returns all blocks, those beyond the last one as zeros."""
        states = bring(self.before, inputs)
        sizes, probs = mix.active[_SIZE], mix.scaled_probs[_SIZE]
        outputs: list[Tensor] = []
        for block in range(self._space.n_blocks):
            run = block <= max(sizes)
            if run or any(block <= k for k in mix.probe[_SIZE]):
                with torch.set_grad_enabled(torch.is_grad_enabled() and run):
                    states.append(self._side(block, 0, states, mix) + self._side(block, 1, states, mix))
                reached = [k for k in (*sizes, *mix.probe[_SIZE]) if block <= k]
                outputs.append(states[-1] * cast(Tensor, sum(probs[k] for k in reached)).to(inputs[0].dtype))
            else:
                outputs.append(torch.zeros_like(outputs[0]))
        for i in range(N_INPUTS):
            weight = self._unread(i, mix)
            if weight is not None:
                outputs[0] = outputs[0] + weight.to(inputs[0].dtype) * joined(states[i], self._plan.stride)
        return torch.cat(outputs, dim=1)

    def _unread(self, state: int, mix: Mix) -> Tensor | None:
        """How probable it is that no block reads an input of the cell; None where one surely does."""
        probs, unread = mix.scaled_probs, None
        so_far: Tensor | float = 1.0
        for block in range(max(mix.active[_SIZE]) + 1):
            for side in (0, 1):
                choice = self._space.side(block, side)
                if state not in (*mix.active[choice], *mix.probe[choice]):
                    continue
                if mix.active[choice] == (state,) and not probs[choice].requires_grad:
                    return unread
                so_far = so_far * (1 - probs[choice][state])
            if block in mix.active[_SIZE]:
                term = probs[_SIZE][block] * so_far
                unread = term if unread is None else unread + term
        return unread

    def _side(self, block: int, side: int, states: Sequence[Tensor], mix: Mix) -> Tensor:
        """The sum over what runs, by the product of both probabilities."""
        choice = self._space.side(block, side)
        sources, ops = mix.scaled_probs[choice], mix.scaled_probs[choice + 1]
        terms = []
        for source, op, probed in _combinations(mix, choice):
            module = self.options(block, side, source)[op]
            with torch.set_grad_enabled(torch.is_grad_enabled() and not probed):
                y = module(states[source])
            terms.append(y * (sources[source] * ops[op]).to(y.dtype))
        return cast(Tensor, sum(terms[1:], terms[0]))


def _combinations(mix: Mix, choice: int) -> Iterator[tuple[int, int, bool]]:
    """(state, operation, whether it is only probed). Two probes at once have no gradient to first order."""
    for source in mix.active[choice]:
        yield from ((source, op, False) for op in mix.active[choice + 1])
        yield from ((source, op, True) for op in mix.probe[choice + 1])
    for source in mix.probe[choice]:
        yield from ((source, op, True) for op in mix.active[choice + 1])


class PairSupernet(PlannedNetwork, Supernet):
    """Shared weights of all architectures of the space."""

    def __init__(self, space: PnasSpace, scale: Scale) -> None:
        """Fresh weights from torch's global generator."""
        self.space, self.scale = space, scale
        make = partial(cell_module, affine=scale.affine)
        plans = space.plans(scale, space.n_blocks)
        super().__init__(plans, make, lambda plan: SharedCell(space, plan, make))
        use_batch_statistics(self)

    def forward(self, x: Tensor, mix: Mix) -> Tensor:
        """x: (b, c, h, w), normalised floats; returns logits (b, n_classes)."""
        x = x.contiguous(memory_format=torch.channels_last)
        return self.run(x, lambda _, cell, inputs: cell(inputs, mix))

    @torch.no_grad()
    def extract(self, arch: Arch) -> nn.Module:
        """The network of `arch` with a copy of the shared weights."""
        with torch.random.fork_rng(devices=[]):
            net = self.space.build(arch, self.scale)
        for own, shared in zip(net.pieces, self.pieces, strict=True):
            if isinstance(own, PairCell) and isinstance(shared, SharedCell):
                copy_first_inputs(own.before, shared.before)
                for b, pair in enumerate(self.space.pairs(arch)):
                    sides = cast(nn.ModuleList, own.sides[b])
                    for side, (source, op) in enumerate(pair):
                        options = shared.options(b, side, source)
                        copy_first_inputs(sides[side], options[self.space.ops.index(op)])
            else:
                copy_first_inputs(own, shared)
        return net.to(next(self.parameters()).device).to(memory_format=torch.channels_last)


def copy_first_inputs(to: nn.Module, shared: nn.Module) -> None:
    """Write the parameters of `shared` into those of `to`, which may read fewer channels, the first ones."""
    for own, theirs in zip(to.parameters(), shared.parameters(), strict=True):
        own.copy_(theirs if own.dim() < 2 else theirs[:, : own.shape[1]])


@make.register
def make_pairs(space: PnasSpace, scale: Scale | None = None, *wrappers: Wrapper) -> PairSupernet:
    """The supernet of `space`. Its operations are not on edges, so nothing wraps them."""
    refuse_wrappers(space, wrappers)
    return PairSupernet(space, space.search_scale if scale is None else scale)
