"""The mixed edges that leave one state of a cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hwnas.networks.cell_blocks import CellOp
from hwnas.networks.cells import drop_paths
from hwnas.networks.depthwise import from_phases
from hwnas.networks.wrappers import Wrapping

from .stacks import Reduce, Shared, Source, Stack, Targets, make_op

_AUX = "aux_skip"


@dataclass(frozen=True, slots=True)
class EdgeMix:
    """The mix of the edges that leave a state.

    weights: (targets, options), already times the weight of the edge. active, probe: per target the options.
    edges: (targets,) or None, the weights of the edges alone.
    """

    weights: Tensor
    active: tuple[tuple[int, ...], ...]
    probe: tuple[tuple[int, ...], ...]
    edges: Tensor | None


class Edges(nn.Module):
    """All edges that leave one state of a cell, stacked by operation.

    batched: whether the edges of an operation run in one call. wrapping: of the supernet; its values may
    change, but for the split of the channels.
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
        """Names: the options of every edge. n: how many edges. c: channels that are mixed."""
        super().__init__()
        self.names, self.n, self.c, self.stride = tuple(names), n, c, stride
        self.wrapping, self.batched = wrapping, True
        for name in names:
            if (op := CellOp.parse(name)).kind != "none":
                self.add_module(name, make_op(op, n, c, stride, affine, pool_norm))
        if wrapping.aux_skip is not None:
            self.add_module(_AUX, Reduce(n, c, affine) if stride == 2 else Shared("skip", c, norm=False))

    def forward(self, x: Tensor, mix: EdgeMix) -> list[list[Tensor]]:
        """X: (b, c, h, w). Returns per target the terms (b, c, h / stride, w / stride) to be summed."""
        source = Source(x, self.stride)
        terms: list[list[Tensor]] = [[] for _ in range(self.n)]
        apart: list[list[Tensor]] = [[] for _ in range(self.n)]
        self._stacked(source, mix, terms)
        self._shared(source, mix, terms, apart)
        if any(mix.probe):
            self._probe(x, mix, terms, apart)
        if self.wrapping.drop_path and self.training:
            terms = [[drop_paths(sum(t[1:], t[0]), self.wrapping.drop_path)] if t else [] for t in terms]
        return [t + a for t, a in zip(terms, apart, strict=True)]

    def _groups(self, targets: Targets) -> list[Targets]:
        return [targets] if self.batched else [(t,) for t in targets]

    def op(self, k: int) -> nn.Module | None:
        """The module of option k; None for no edge."""
        found: nn.Module | None = self._modules.get(self.names[k])
        return found

    def _stacked(self, source: Source, mix: EdgeMix, terms: list[list[Tensor]]) -> None:
        """Operations with weights: those of the same targets are summed before they are taken apart."""
        sums: dict[tuple[bool, Targets], Tensor] = {}
        jobs: list[tuple[Stack, Targets, Tensor]] = []
        for k, users in _users(mix.active).items():
            op = self.op(k)
            if isinstance(op, Stack):
                jobs += [(op, t, _rows(mix.weights, k, t, self.n)) for t in self._groups(users)]
        aux = self._modules.get(_AUX)
        if isinstance(aux, Stack) and self.wrapping.aux_skip:
            gain = mix.weights.new_full((self.n,), self.wrapping.aux_skip)
            gain = gain if mix.edges is None else gain * mix.edges
            jobs += [(aux, t, gain[list(t)]) for t in self._groups(tuple(range(self.n)))]
        for stack, targets, gain in jobs:
            y = stack(source, targets, gain)
            where = (stack.phased(source), targets)
            sums[where] = sums[where] + y if where in sums else y
        for (phased, targets), y in sums.items():
            whole = from_phases(y) if phased else y
            for t, part in zip(targets, torch.split(whole, self.c, dim=1), strict=True):
                terms[t].append(part)

    def _shared(
        self,
        source: Source,
        mix: EdgeMix,
        terms: list[list[Tensor]],
        apart: list[list[Tensor]],
    ) -> None:
        """Operations without weights: computed once, mixed for all targets by one matrix product."""
        columns: list[tuple[int, Shared]] = []
        users = _users(mix.active)
        for k in users:
            op = self.op(k)
            if isinstance(op, Shared):
                columns.append((k, op))
        wrapped = self.training and (self.wrapping.skip_dropout or self.wrapping.drop_path)
        made: list[Tensor] = []
        weights: list[Tensor] = []
        for k, op in columns:
            if op.kind == "skip" and wrapped:
                for t in users[k]:
                    apart[t].append(F.dropout(source.x, self.wrapping.skip_dropout) * mix.weights[t, k])
            else:
                made.append(op(source))
                weights.append(_masked(mix.weights[:, k], users[k], self.n))
        if isinstance(self._modules.get(_AUX), Shared) and self.wrapping.aux_skip:
            made.append(source.x)
            beta = mix.weights.new_full((self.n,), self.wrapping.aux_skip)
            weights.append(beta if mix.edges is None else beta * mix.edges)
        if made:
            for t, y in enumerate(_mixed(made, torch.stack(weights, dim=1))):
                terms[t].append(y)

    def _probe(self, x: Tensor, mix: EdgeMix, terms: list[list[Tensor]], apart: list[list[Tensor]]) -> None:
        """What probed options would give, times their weight, which is 0: only that gets a gradient."""
        source = Source(x.detach(), self.stride)
        for k, users in _users(mix.probe).items():
            op = self.op(k)
            with torch.no_grad():
                if isinstance(op, Stack):
                    y = op(source, users, None)
                    whole = from_phases(y) if op.phased(source) else y
                    parts = list(torch.split(whole, self.c, dim=1))
                else:
                    parts = [op(source)] * len(users) if isinstance(op, Shared) else []
            skip = isinstance(op, Shared) and op.kind == "skip"
            for t, part in zip(users, parts, strict=False):
                (apart if skip else terms)[t].append(part * mix.weights[t, k])


def _users(per_target: Sequence[Sequence[int]]) -> dict[int, Targets]:
    """Per option that runs anywhere, the targets that want it."""
    found: dict[int, list[int]] = {}
    for target, options in enumerate(per_target):
        for k in options:
            found.setdefault(k, []).append(target)
    return {k: tuple(targets) for k, targets in sorted(found.items())}


def _rows(weights: Tensor, k: int, targets: Targets, n: int) -> Tensor:
    column = weights[:, k]
    return column if len(targets) == n else column[list(targets)]


def _masked(column: Tensor, targets: Targets, n: int) -> Tensor:
    """(targets,) with 0, and no gradient, where an edge does not run the option."""
    if len(targets) == n:
        return column
    mask = column.new_zeros(n)
    mask[list(targets)] = 1
    return column * mask


def _mixed(made: list[Tensor], weights: Tensor) -> tuple[Tensor, ...]:
    """Per target the sum over the tensors (b, c, h, w) of `made` times weights (targets, made)."""
    if len(made) == 1 and len(weights) == 1:
        return (made[0] * weights[0, 0],)
    b, c, h, w = made[0].shape
    rows = torch.stack([y.permute(0, 2, 3, 1) for y in made]).view(len(made), -1)
    mixed = (weights @ rows).view(-1, b, h, w, c).permute(0, 1, 4, 2, 3)
    return mixed.unbind()
