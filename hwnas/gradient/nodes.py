"""The nodes of a cell: which of their edges are kept, and how much each is worth.

An architecture keeps `Choice.keep` edges of a node and sets all others to `none`. Everything here is
empty, or the identity, for spaces whose choices stand alone.

[1] Liu et al. 2019, DARTS, 1806.09055, section 2.4. [2] Top-k by a common threshold: the code of DADARTS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from hwnas.core.choice import NONE, Arch, Choice
from hwnas.core.mix import Mix

ABSENT = -1
"""Stands for `none` in the mix of a policy that has it no more; `restrict.widen` puts it back."""

_BISECTIONS = 64
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Node:
    """edges: indices of the choices that compete; keep: how many of them an architecture has."""

    edges: tuple[int, ...]
    keep: int


@cache
def nodes(choices: tuple[Choice, ...]) -> tuple[Node, ...]:
    """The nodes that keep a number of their edges, in order."""
    found: dict[str, list[int]] = {}
    for i, choice in enumerate(choices):
        if choice.node is not None and choice.keep > 0:
            found.setdefault(choice.node, []).append(i)
    return tuple(Node(tuple(e), min(choices[e[0]].keep, len(e))) for e in found.values())


@cache
def edge_groups(choices: tuple[Choice, ...]) -> tuple[tuple[int, ...], ...]:
    """The edges that enter each node, in order, however many of them an architecture keeps."""
    found: dict[str, list[int]] = {}
    for i, choice in enumerate(choices):
        if choice.node is not None:
            found.setdefault(choice.node, []).append(i)
    return tuple(tuple(edges) for edges in found.values())


def real_options(choice: Choice) -> tuple[int, ...]:
    """The options that a kept edge may have: all but `none`."""
    return tuple(i for i, name in enumerate(choice.options) if name != NONE)


def none_of(choice: Choice) -> int:
    """The index of `none`; ABSENT where a stage has taken it away from the policy."""
    return choice.options.index(NONE) if NONE in choice.options else ABSENT


def per_node(values: Tensor, choices: tuple[Choice, ...]) -> Tensor | None:
    """Softmax of values (n_choices,) over the edges of each node; 1 elsewhere; None without nodes."""
    if not edge_groups(choices):
        return None
    out = torch.ones_like(values)
    for group in edge_groups(choices):
        edges = torch.tensor(group, device=values.device)
        out = out.index_put((edges,), F.softmax(values[edges], dim=0))
    return out


def strongest(weights: Sequence[Tensor], edge_weights: Tensor | None, choices: tuple[Choice, ...]) -> Arch:
    """The architecture of a mix: the heaviest option per choice; at a node, `none` aside, its best edges [1].

    An edge is worth its heaviest option times its own weight.
    """
    weights = [w.detach() for w in weights]
    arch = [int(w.argmax()) for w in weights]
    for node in nodes(choices):
        worth = {}
        for e in node.edges:
            real = list(real_options(choices[e]))
            best = weights[e][real]
            scale = 1.0 if edge_weights is None else float(edge_weights[e].detach())
            arch[e], worth[e] = real[int(best.argmax())], float(best.max()) * scale
        for e in sorted(node.edges, key=lambda e: -worth[e])[node.keep :]:
            arch[e] = none_of(choices[e])
    return tuple(arch)


def top_k(x: Tensor, k: int, t: float) -> Tensor:
    """P = sigmoid(t (x + s)) with the s that makes sum p = k; x (n,), p (n,) [2].

    The s of 64 bisections is a constant; one Newton step on top of it carries its derivative, so that
    autograd gives the true Jacobian t (diag(v) - v v^T / sum v), v = p (1 - p). The published code leaves
    out the factor t.
    """
    if k >= len(x):
        return torch.ones_like(x)
    with torch.no_grad():
        low, high = (-x.max() - 100 / t).double(), (-x.min() + 100 / t).double()
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            over = torch.sigmoid(t * (x.double() + middle)).sum() > k
            low, high = torch.where(over, low, middle), torch.where(over, middle, high)
        s = ((low + high) / 2).to(x.dtype)
        p = torch.sigmoid(t * (x + s))
        slope = (t * p * (1 - p)).sum().clamp_min(_TINY)
    s = s - (torch.sigmoid(t * (x + s)).sum() - k) / slope
    return torch.sigmoid(t * (x + s))


def deployed(mix: Mix, choices: tuple[Choice, ...]) -> Mix:
    """The mix as an architecture will have it: what costs are expected of.

    The edges of a node are kept with probabilities that sum to the number it keeps (`top_k` of the
    logarithms of what `strongest` ranks), and a kept edge has none of `none`. An architecture is left
    alone, so its cost stays exact. Weights that do not sum to 1 (sigmoids) count by their share.
    """
    if mix.arch is not None:
        return mix
    weights = [w / w.sum() for w in mix.probs]
    for node in nodes(choices):
        worth = torch.stack([weights[e][list(real_options(choices[e]))].max() for e in node.edges])
        if mix.edge_weights is not None:
            worth = worth * mix.edge_weights[list(node.edges)]
        kept = top_k(worth.clamp_min(_TINY).log(), node.keep, 1.0)
        for e, p in zip(node.edges, kept.unbind(), strict=True):
            none = none_of(choices[e])
            real = weights[e] * (torch.arange(len(weights[e]), device=p.device) != none)
            share = p * real / real.sum().clamp_min(_TINY)
            weights[e] = share + F.one_hot(torch.tensor(none, device=p.device), len(share)) * (1 - p)
    return replace(mix, probs=tuple(weights), edge_weights=None)
