"""The edges of cell nodes: which ones an architecture keeps, and how a mix counts them.

An architecture keeps `Choice.keep` edges of a node and sets all others to `none`. For spaces whose
choices stand alone everything here is empty, or changes nothing.

[1] Liu et al. 2019, DARTS, 1806.09055, section 2.4. [2] Top-k by a common threshold: the code of DADARTS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from hwnas.core.choice import NONE, Arch, Choice
from hwnas.core.fixed_index import fixed_index, marked, take
from hwnas.core.mix import Mix
from hwnas.core.node import nodes_of, none_of
from hwnas.core.number import Number

_BISECTIONS = 64
_TINY = 1e-12
_FAR = -1e30
"""Fills short vectors up: its sigmoid is 0."""


@cache
def edge_groups(choices: tuple[Choice, ...]) -> tuple[tuple[int, ...], ...]:
    """The edges that enter each node, in order, however many of them an architecture keeps."""
    edges_by_node: dict[str, list[int]] = {}
    for i, choice in enumerate(choices):
        if choice.node is not None:
            edges_by_node.setdefault(choice.node, []).append(i)
    return tuple(tuple(edges) for edges in edges_by_node.values())


def real_options(choice: Choice) -> tuple[int, ...]:
    """The options that a kept edge may have: all but `none`."""
    return tuple(i for i, name in enumerate(choice.options) if name != NONE)


def edge_softmax(edge_logits: Tensor, choices: tuple[Choice, ...]) -> Tensor | None:
    """Softmax of edge_logits (n_choices,) over the edges of each node; 1 elsewhere; None without nodes."""
    if not edge_groups(choices):
        return None
    weights = torch.ones_like(edge_logits)
    for group in edge_groups(choices):
        edges = fixed_index(group, edge_logits.device)
        weights = weights.index_put((edges,), F.softmax(take(edge_logits, group), dim=0))
    return weights


def discretise(probs: Sequence[Tensor], edge_weights: Tensor | None, choices: tuple[Choice, ...]) -> Arch:
    """The most probable architecture; at a node its best edges, `none` aside [1].

    probs: (n_options,) per choice. edge_weights: (n_choices,) or None, which is 1 everywhere. The score of
    an edge is the probability of its best option times its edge weight.
    """
    probs = [p.detach() for p in probs]
    arch = [int(p.argmax()) for p in probs]
    for node in nodes_of(choices):
        scores = {}
        for e in node.edges:
            real = list(real_options(choices[e]))
            real_probs = probs[e][real]
            scale = 1.0 if edge_weights is None else float(edge_weights[e].detach())
            arch[e], scores[e] = real[int(real_probs.argmax())], float(real_probs.max()) * scale
        for e in sorted(node.edges, key=lambda e: -scores[e])[node.keep :]:
            arch[e] = none_of(choices[e])
    return tuple(arch)


def top_k(x: Tensor, k: int, t: Number) -> Tensor:
    """P = sigmoid(t (x + s)) with the s that makes sum p = k; x (n,), p (n,) [2]."""
    return top_k_each([x], [k], t)[0]


def top_k_each(vectors: Sequence[Tensor], ks: Sequence[int], t: Number) -> list[Tensor]:
    """`top_k` of vectors of any lengths, all in the same few operations.

    The s of 64 bisections is a constant; one Newton step on top of it carries its derivative, so that
    autograd gives the true Jacobian t (diag(v) - v v^T / sum v), v = p (1 - p). The published code leaves
    out the factor t.
    """
    chosen = [i for i, (x, k) in enumerate(zip(vectors, ks, strict=True)) if k < len(x)]
    tops = [torch.ones_like(x) for x in vectors]
    if not chosen:
        return tops
    width = max(len(vectors[i]) for i in chosen)
    x = torch.stack([F.pad(vectors[i], (0, width - len(vectors[i])), value=_FAR) for i in chosen])
    k = fixed_index(tuple(ks[i] for i in chosen), x.device)[:, None]
    with torch.no_grad():
        largest = x.amax(1, keepdim=True)
        smallest = torch.where(x > _FAR, x, largest).amin(1, keepdim=True)
        low, high = (-largest - 100 / t).double(), (-smallest + 100 / t).double()
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            over = torch.sigmoid(t * (x.double() + middle)).sum(1, keepdim=True) > k
            low, high = torch.where(over, low, middle), torch.where(over, middle, high)
        s = ((low + high) / 2).to(x.dtype)
        p = torch.sigmoid(t * (x + s))
        slope = (t * p * (1 - p)).sum(1, keepdim=True).clamp_min(_TINY)
    s = s - (torch.sigmoid(t * (x + s)).sum(1, keepdim=True) - k) / slope
    for i, row in zip(chosen, torch.sigmoid(t * (x + s)).unbind(), strict=True):
        tops[i] = row[: len(vectors[i])]
    return tops


def with_kept_edges(mix: Mix, choices: tuple[Choice, ...]) -> Mix:
    """The mix that costs are expected of: each node keeps its number of edges in expectation.

    An edge is kept with probability p, and the p of a node sum to `keep` (`top_k` of the logarithms of the
    scores that `discretise` ranks edges by). A kept edge has no probability of `none`, so that option gets
    1 - p. An architecture stays as it is, so its cost is exact. Probabilities that do not sum to 1
    (sigmoids) count by their share.
    """
    if mix.arch is not None:
        return mix
    probs = [p / p.sum() for p in mix.probs]
    nodes = nodes_of(choices)
    scores = []
    for node in nodes:
        best = torch.stack([take(probs[e], real_options(choices[e])).max() for e in node.edges])
        best = best if mix.edge_weights is None else best * take(mix.edge_weights, node.edges)
        scores.append(best.clamp_min(_TINY).log())
    for node, kept in zip(nodes, top_k_each(scores, [node.keep for node in nodes], 1.0), strict=True):
        for e, p in zip(node.edges, kept.unbind(), strict=True):
            none = marked((none_of(choices[e]),), len(probs[e]), p.device)
            real = probs[e] * (1 - none)
            probs[e] = p * real / real.sum().clamp_min(_TINY) + none * (1 - p)
    return replace(mix, probs=tuple(probs), edge_weights=None)
