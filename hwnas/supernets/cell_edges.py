"""The mixed edges that leave one state of a cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hwnas.core.fixed_index import marked, take
from hwnas.core.number import may_count
from hwnas.networks.cell_blocks import CellOp
from hwnas.networks.cells import drop_paths, dropout
from hwnas.networks.depthwise import from_phases
from hwnas.networks.wrappers import Wrapping

from .stacks import EdgeInput, Stack, StackedReduce, Targets, Weightless, make_op

_AUX = "aux_skip"


@dataclass(frozen=True, slots=True)
class EdgeMix:
    """The mix of the edges that leave a state.

    probs: option probabilities (targets, options), already times the weight of the edge.
    active: per target the options that run.
    probe: per target the options whose output is computed without gradient.
    edges: weights of the edges alone, (targets,); None means 1 everywhere.
    """

    probs: Tensor
    active: tuple[tuple[int, ...], ...]
    probe: tuple[tuple[int, ...], ...]
    edges: Tensor | None


class Edges(nn.Module):
    """All edges that leave one state of a cell, stacked by operation.

    batched: whether the edges of an operation run in one call.
    wrapping: that of the supernet. Its values may change, except for the split of the channels.
    """

    def __init__(
        self,
        names: Sequence[str],
        n: int,
        c: int,
        stride: int,
        affine: bool,
        pool_norm: bool,
        wrapping: Wrapping,
    ) -> None:
        """Fresh weights from torch's global generator.

        names: the options of every edge.
        n: how many edges.
        c: how many channels are mixed.
        stride: of the edges.
        affine: whether norms learn scale and shift.
        pool_norm: whether a norm follows a pooling.
        wrapping: what the edges are wrapped in.
        """
        super().__init__()
        self.names, self.n, self.c, self.stride = tuple(names), n, c, stride
        self.wrapping, self.batched = wrapping, True
        for name in names:
            if (op := CellOp.parse(name)).kind != "none":
                self.add_module(name, make_op(op, n, c, stride, affine, pool_norm))
        if wrapping.aux_skip is not None:
            skip = StackedReduce(n, c, affine) if stride == 2 else Weightless("skip", c, norm=False)
            self.add_module(_AUX, skip)

    def forward(self, x: Tensor, mix: EdgeMix) -> list[list[Tensor]]:
        """x: (b, c, h, w). Returns per target the terms (b, c, h / stride, w / stride) to be summed."""
        source = EdgeInput(x, self.stride)
        terms: list[list[Tensor]] = [[] for _ in range(self.n)]
        apart: list[list[Tensor]] = [[] for _ in range(self.n)]
        self._stacked(source, mix, terms)
        self._weightless(source, mix, terms, apart)
        if any(mix.probe):
            self._probe(x, mix, terms, apart)
        if may_count(self.wrapping.drop_path) and self.training:
            terms = [[drop_paths(sum(t[1:], t[0]), self.wrapping.drop_path)] if t else [] for t in terms]
        return [t + a for t, a in zip(terms, apart, strict=True)]

    def _groups(self, targets: Targets) -> list[Targets]:
        return [targets] if self.batched else [(t,) for t in targets]

    def op(self, k: int) -> nn.Module | None:
        """The module of option k; None for no edge."""
        op: nn.Module | None = self._modules.get(self.names[k])
        return op

    def _stacked(self, source: EdgeInput, mix: EdgeMix, terms: list[list[Tensor]]) -> None:
        """Operations with weights: those of the same targets are summed before they are taken apart."""
        sums: dict[tuple[bool, Targets], Tensor] = {}
        jobs: list[tuple[Stack, Targets, Tensor]] = []
        for k, users in _users(mix.active).items():
            op = self.op(k)
            if isinstance(op, Stack):
                jobs += [(op, t, _probs_of(mix.probs, k, t, self.n)) for t in self._groups(users)]
        aux = self._modules.get(_AUX)
        weight = self.wrapping.aux_skip
        if isinstance(aux, Stack) and weight is not None and may_count(weight):
            gain = mix.probs.new_ones(self.n) * weight
            gain = gain if mix.edges is None else gain * mix.edges
            jobs += [(aux, t, take(gain, t)) for t in self._groups(tuple(range(self.n)))]
        for stack, targets, gain in jobs:
            y = stack(source, targets, gain)
            where = (stack.phased(source), targets)
            sums[where] = sums[where] + y if where in sums else y
        for (phased, targets), y in sums.items():
            whole = from_phases(y) if phased else y
            for t, part in zip(targets, torch.split(whole, self.c, dim=1), strict=True):
                terms[t].append(part)

    def _weightless(
        self,
        source: EdgeInput,
        mix: EdgeMix,
        terms: list[list[Tensor]],
        apart: list[list[Tensor]],
    ) -> None:
        """Operations without weights: computed once, mixed for all targets by one matrix product."""
        columns: list[tuple[int, Weightless]] = []
        users = _users(mix.active)
        for k in users:
            op = self.op(k)
            if isinstance(op, Weightless):
                columns.append((k, op))
        dropped = (self.wrapping.skip_dropout, self.wrapping.drop_path)
        wrapped = self.training and any(map(may_count, dropped))
        outputs: list[Tensor] = []
        gains: list[Tensor] = []
        for k, op in columns:
            if op.kind == "skip" and wrapped:
                for t in users[k]:
                    apart[t].append(dropout(source.x, self.wrapping.skip_dropout) * mix.probs[t, k])
            else:
                outputs.append(op(source))
                gains.append(_masked(mix.probs[:, k], users[k], self.n))
        weight, aux = self.wrapping.aux_skip, self._modules.get(_AUX)
        if isinstance(aux, Weightless) and weight is not None and may_count(weight):
            outputs.append(source.x)
            beta = mix.probs.new_ones(self.n) * weight
            gains.append(beta if mix.edges is None else beta * mix.edges)
        if outputs:
            for t, y in enumerate(_mixed(outputs, torch.stack(gains, dim=1))):
                terms[t].append(y)

    def _probe(self, x: Tensor, mix: EdgeMix, terms: list[list[Tensor]], apart: list[list[Tensor]]) -> None:
        """Add probed options times their probability, which is 0: it alone gets a gradient."""
        source = EdgeInput(x.detach(), self.stride)
        for k, users in _users(mix.probe).items():
            op = self.op(k)
            with torch.no_grad():
                if isinstance(op, Stack):
                    y = op(source, users, None)
                    whole = from_phases(y) if op.phased(source) else y
                    parts = list(torch.split(whole, self.c, dim=1))
                else:
                    parts = [op(source)] * len(users) if isinstance(op, Weightless) else []
            skip = isinstance(op, Weightless) and op.kind == "skip"
            for t, part in zip(users, parts, strict=False):
                (apart if skip else terms)[t].append(part * mix.probs[t, k])


def _users(per_target: Sequence[Sequence[int]]) -> dict[int, Targets]:
    """Per option that runs anywhere, the targets that want it."""
    users: dict[int, list[int]] = {}
    for target, options in enumerate(per_target):
        for k in options:
            users.setdefault(k, []).append(target)
    return {k: tuple(targets) for k, targets in sorted(users.items())}


def _probs_of(probs: Tensor, k: int, targets: Targets, n: int) -> Tensor:
    """The probabilities of option k at some of the n targets, (len(targets),)."""
    column = probs[:, k]
    return column if len(targets) == n else take(column, targets)


def _masked(column: Tensor, targets: Targets, n: int) -> Tensor:
    """(targets,) with 0, and no gradient, where an edge does not run the option."""
    if len(targets) == n:
        return column
    return column * marked(targets, n, column.device)


def _mixed(outputs: list[Tensor], gains: Tensor) -> tuple[Tensor, ...]:
    """Per target the sum of the outputs, each (b, c, h, w), times gains (targets, outputs)."""
    if len(outputs) == 1 and len(gains) == 1:
        return (outputs[0] * gains[0, 0],)
    b, c, h, w = outputs[0].shape
    rows = torch.stack([y.permute(0, 2, 3, 1) for y in outputs]).view(len(outputs), -1)
    mixed = (gains @ rows).view(-1, b, h, w, c).permute(0, 1, 4, 2, 3)
    return mixed.unbind()
