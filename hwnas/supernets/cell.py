"""The supernet of a cell space: the plans of its network with mixed edges.

It runs the options that a mix calls active and knows no search method. All weights are ordinary parameters
under predictable names, `pieces.<plan>.edges.<state>.<operation>.<tensor>`, so it runs under
`torch.func.functional_call` and can be differentiated twice. Normalisation always uses the statistics of the
batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hwnas.core.choice import Arch
from hwnas.core.fixed_index import take
from hwnas.core.mix import Mix
from hwnas.core.network_space import Scale
from hwnas.networks.cell_layers import cell_module
from hwnas.networks.cells import CellPlan, DeployedCell, PlannedNetwork, bring
from hwnas.networks.wrappers import Partial, Wrapper, Wrapping
from hwnas.spaces.cells import CellSpace

from .cell_edges import EdgeMix, Edges
from .stacks import StackedReduce
from .supernet import Supernet, copy_parameters, make, use_batch_statistics

_COMPILATIONS = 8
"""How often one cell is compiled: with and without gradients of weights, mix and inputs."""


@dataclass(frozen=True, slots=True)
class EdgeRows:
    """Rows of a parameter that belong to one option of a choice in one cell.

    plan: index of the cell among the plans of the network.
    choice, option: indices into the choices of the space, and into the options of that choice.
    parameter: its name in the supernet.
    rows: which of its rows.
    """

    plan: int
    choice: int
    option: int
    parameter: str
    rows: slice


class MixedCell(nn.Module):
    """One cell: per state the edges that leave it."""

    def __init__(self, plan: CellPlan, space: CellSpace, affine: bool, wrapping: Wrapping) -> None:
        super().__init__()
        self.plan, self.wrapping = plan, wrapping
        Partial(wrapping.partial).check(plan.c)
        self.c = plan.c // wrapping.partial
        self.before = nn.ModuleList(cell_module(b, affine=affine) for b in plan.before)
        self.edges = nn.ModuleList()
        self.targets: list[tuple[int, ...]] = []
        self.choices: list[list[int]] = []
        for state in range(plan.wiring.n_inputs + len(plan.wiring.nodes) - 1):
            targets = tuple(t for s, t in plan.wiring.edges if s == state)
            stride = plan.edge_stride(state)
            pool_norm = space.pool_norm and not affine
            edges = Edges(space.operations, len(targets), self.c, stride, affine, pool_norm, wrapping)
            self.edges.append(edges)
            self.targets.append(targets)
            self.choices.append([space.choice(plan.kind, state, t) for t in targets])

    def forward(self, inputs: list[Tensor], mixes: list[EdgeMix]) -> Tensor:
        """Inputs: one (b, c, h, w) per input state. mixes: one per state that edges leave."""
        states = bring(self.before, inputs)
        terms: dict[int, list[Tensor]] = {t: [] for t in self.plan.wiring.nodes}
        by_pass: dict[int, list[Tensor]] = {t: [] for t in self.plan.wiring.nodes}
        for state, (edges, mix) in enumerate(zip(self.edges, mixes, strict=True)):
            if state == len(states):
                states.append(self._node(terms[state], by_pass[state], states))
            x = states[state]
            mixed = x[:, : self.c] if self.wrapping.partial > 1 else x
            for i, (t, outputs) in enumerate(zip(self.targets[state], edges(mixed, mix), strict=True)):
                terms[t] += outputs
                if self.wrapping.partial > 1:
                    passed = self._passed(x, state)
                    by_pass[t].append(passed if mix.edges is None else passed * mix.edges[i])
        for node in self.plan.wiring.nodes[len(states) - self.plan.wiring.n_inputs :]:
            states.append(self._node(terms[node], by_pass[node], states))
        if not self.plan.wiring.concat:
            return states[-1]
        return torch.cat(states[self.plan.wiring.n_inputs :], dim=1)

    def _passed(self, x: Tensor, state: int) -> Tensor:
        """The channels that no operation sees, pooled where the edges have stride 2."""
        rest = x[:, self.c :]
        return F.max_pool2d(rest, 2, 2, ceil_mode=True) if self.plan.edge_stride(state) == 2 else rest

    def _node(self, terms: list[Tensor], by_pass: list[Tensor], states: list[Tensor]) -> Tensor:
        if terms:
            y = sum(terms[1:], terms[0])
        else:
            s = self.plan.stride
            y = torch.zeros_like(states[0][:, : self.c, ::s, ::s])
        if not by_pass:
            return y
        return shuffle(torch.cat([y, sum(by_pass[1:], by_pass[0])], dim=1), self.wrapping.partial)


def shuffle(x: Tensor, groups: int) -> Tensor:
    """x: (b, c, h, w). Channels of the groups in turn (Zhang et al. 2018, ShuffleNet, section 3.1)."""
    b, c, h, w = x.shape
    y = x.view(b, groups, c // groups, h, w).transpose(1, 2).reshape(b, c, h, w)
    return y.contiguous(memory_format=torch.channels_last)


class CellSupernet(PlannedNetwork, Supernet):
    """Shared weights of a `CellSpace` at a scale; see the module's docstring."""

    def __init__(self, space: CellSpace, scale: Scale, wrappers: tuple[Wrapper, ...] = ()) -> None:
        """Fresh weights from torch's global generator."""
        wrapping = Wrapping().having(wrappers)
        super().__init__(
            space.plans(scale),
            cell_module,
            lambda plan: MixedCell(plan, space, scale.affine, wrapping),
        )
        self.space, self.scale, self.wrapping = space, scale, wrapping
        use_batch_statistics(self)
        _carry_constants(self)
        self.to(memory_format=torch.channels_last)

    def rewrap(self, *wrappers: Wrapper) -> None:
        """Change values of the wrappers, such as a dropout that falls; the weights stay as they are."""
        wrapping = self.wrapping.having(wrappers)
        current = (self.wrapping.partial, self.wrapping.aux_skip is None)
        if (wrapping.partial, wrapping.aux_skip is None) != current:
            raise ValueError("partial channels and an auxiliary skip need a supernet of their own")
        self.wrapping = wrapping
        for module in self.modules():
            if isinstance(module, (MixedCell, Edges)):
                module.wrapping = wrapping

    def batch_edges(self, batched: bool) -> None:
        """Whether edges that read the same state run in one call; the result is the same."""
        for module in self.modules():
            if isinstance(module, Edges):
                module.batched = batched

    def compile_cells(self) -> None:
        """Run every cell through torch.compile wherever its edges mix; sampled paths run uncompiled."""
        cells = [piece for piece in self.pieces if isinstance(piece, MixedCell)]
        # All cells share one piece of code; each shape of it, and each set of gradients, is a compilation.
        limits = torch.compiler.config
        limits.recompile_limit = max(limits.recompile_limit, _COMPILATIONS * len(cells))
        for cell in cells:
            cell.compile(dynamic=False, fullgraph=True)

    def forward(self, x: Tensor, mix: Mix) -> Tensor:
        """x: (b, c, h, w), normalised floats; returns logits (b, n_classes)."""
        x = x.contiguous(memory_format=torch.channels_last)
        ready: dict[str, list[EdgeMix]] = {}
        mixed = all(len(active) > 1 for active in mix.active) and not any(mix.probe)

        def run_cell(i: int, cell: nn.Module, inputs: list[Tensor]) -> Tensor:
            cell = cast(MixedCell, cell)
            if cell.plan.kind not in ready:
                ready[cell.plan.kind] = edge_mixes(cell, mix, x.dtype)
            # `forward` goes round what `compile_cells` compiled: sampled paths differ from step to step.
            run = cell if mixed else cell.forward
            return cast(Tensor, run(inputs, ready[cell.plan.kind]))

        return self.run(x, run_cell)

    def edge_rows(self) -> Iterator[EdgeRows]:
        """Where the weights of every operation of every edge lie in the stacked parameters."""
        for prefix, edges in self.named_modules():
            if not isinstance(edges, Edges):
                continue
            _, plan, _, state = prefix.split(".")
            cell = cast(MixedCell, self.pieces[int(plan)])
            for option, name in enumerate(edges.names):
                op = edges.op(option)
                for tensor, p in op.named_parameters() if op is not None else ():
                    rows = len(p) // edges.n
                    for i, choice in enumerate(cell.choices[int(state)]):
                        yield EdgeRows(
                            plan=int(plan),
                            choice=choice,
                            option=option,
                            parameter=f"{prefix}.{name}.{tensor}",
                            rows=slice(i * rows, (i + 1) * rows),
                        )

    @torch.no_grad()
    def extract(self, arch: Arch) -> nn.Module:
        """The network of `arch` at the scale of the supernet with a copy of the shared weights."""
        with torch.random.fork_rng(devices=[]):
            net = self.space.build(arch, self.scale)
        for own, shared in zip(net.pieces, self.pieces, strict=True):
            if isinstance(own, DeployedCell) and isinstance(shared, MixedCell):
                copy_parameters(own.before, shared.before)
                _copy_edges(own, shared, self.space, arch)
            else:
                copy_parameters(own, shared)
        return net.to(next(self.parameters()).device).to(memory_format=torch.channels_last)


def _carry_constants(net: nn.Module) -> None:
    """Let norms without learned scale and shift hold 1 and 0 as buffers, as `StackedNorm` does."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d) and not module.affine:
            del module.weight, module.bias
            module.register_buffer("weight", torch.ones(module.num_features))
            module.register_buffer("bias", torch.zeros(module.num_features))


def edge_mixes(cell: MixedCell, mix: Mix, dtype: torch.dtype) -> list[EdgeMix]:
    """The mix as the edges of a kind of cell read it, one per state."""
    scaled = mix.scaled_probs
    return [
        EdgeMix(
            probs=torch.stack([scaled[c] for c in choices]).to(dtype),
            active=tuple(mix.active[c] for c in choices),
            probe=tuple(mix.probe[c] for c in choices),
            edges=None if mix.edge_weights is None else take(mix.edge_weights, choices).to(dtype),
        )
        for choices in cell.choices
    ]


def _copy_edges(to: DeployedCell, shared: MixedCell, space: CellSpace, arch: Arch) -> None:
    """The slices of the stacked weights, in the order in which the deployed layers hold theirs."""
    for state, edges in enumerate(shared.edges):
        for i, target in enumerate(shared.targets[state]):
            key = f"{state}_{target}"
            if key not in to.edges or not isinstance(edges, Edges):
                continue
            stack = edges.get_submodule(edges.names[arch[shared.choices[state][i]]])
            tensors = _tensors(stack, i, edges.n)
            for parameter, tensor in zip(to.edges[key].parameters(), tensors, strict=True):
                parameter.copy_(tensor)


def _tensors(stack: nn.Module, target: int, n: int) -> list[Tensor]:
    """The weights of one target; a norm without scale and shift has none."""

    def part(tensor: Tensor) -> Tensor:
        size = len(tensor) // n
        return tensor[target * size : (target + 1) * size]

    stacked = dict(stack.named_parameters())
    if isinstance(stack, StackedReduce) and "norm.scale" in stacked:
        half = stack.c // 2
        scale, shift = part(stacked["norm.scale"]), part(stacked["norm.shift"])
        even, odd = part(stacked["even"]), part(stacked["odd"])
        return [even, scale[:half], shift[:half], odd, scale[half:], shift[half:]]
    order = ["depthwise", "project", "inner_norm", "depthwise2", "project2", "conv", "even", "odd", "norm"]
    names = [f"{name}{ending}" for name in order for ending in ("", ".scale", ".shift")]
    return [part(stacked[name]) for name in names if name in stacked]


@make.register
def make_cells(space: CellSpace, scale: Scale | None = None, *wrappers: Wrapper) -> CellSupernet:
    """The supernet of `space`, its edges wrapped."""
    return CellSupernet(space, space.search_scale if scale is None else scale, wrappers)
