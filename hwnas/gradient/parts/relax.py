"""Relaxations: how the logits of a policy become the mix that a supernet runs.

Plain functions (logits per choice, relax_context) -> Mix. They see all choices at once, so that one may
look at the edges of a whole cell node. One is named per place: weight step, virtual step, arch
step, validation (`method.PlaceParts`).

[1] Liu et al. 2019, DARTS, 1806.09055. [2] Cai et al. 2019, ProxylessNAS, 1812.00332.
[3] Maddison et al. 2017, 1611.00712; Xie et al. 2019, SNAS, 1812.09926. [4] Dong and Yang 2019, GDAS,
1910.04465. [5] Chen et al. 2021, DrNAS, 2006.10355. [6] Chu et al. 2020, FairDARTS, 1911.12126.
[7] The code of DADARTS. [8] Chen and Hsieh 2020, SmoothDARTS, 2002.05283.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from hwnas.core.choice import Choice
from hwnas.core.mix import Mix
from hwnas.core.registry import Registry
from hwnas.gradient.nodes import ABSENT, nodes, none_of, real_options, strongest, top_k

_LEAST_PROBABILITY = 1e-9
"""Keeps a second option drawable when float32 rounds its probability to 0."""


@dataclass(frozen=True, slots=True)
class RelaxContext:
    """What a relaxation may depend on besides the logits.

    generator: the source of all draws, on the CPU; its state is part of every checkpoint.
    t: temperature of the stage at this step. progress: 0 at the first step of the search, 1 at its last.
    edge_weights: (n_choices,), what the policy thinks of the edges of a node; None: nothing.
    """

    choices: tuple[Choice, ...]
    generator: torch.Generator
    t: float = 1.0
    progress: float = 0.0
    edge_weights: Tensor | None = None


class Relax(Protocol):
    """logits: one tensor (n_options,) per choice; returns the mix to run."""

    def __call__(self, logits: Sequence[Tensor], relax_context: RelaxContext) -> Mix:
        """The mix that runs."""
        ...


RELAXATIONS: Registry[Callable[..., Mix]] = Registry("relaxation")


@RELAXATIONS.add("softmax")
def softmax(logits: Sequence[Tensor], relax_context: RelaxContext) -> Mix:
    """Every option runs, weighted by the softmax of logits / t [1]."""
    return dense(tuple(F.softmax(a / relax_context.t, dim=0) for a in logits))


@RELAXATIONS.add("sigmoid")
def sigmoid(logits: Sequence[Tensor], relax_context: RelaxContext) -> Mix:
    """Every option runs, each weighted by the sigmoid of its own logit: they do not compete [6]."""
    return dense(tuple(torch.sigmoid(a) for a in logits))


@RELAXATIONS.add("gumbel")
def gumbel(logits: Sequence[Tensor], relax_context: RelaxContext) -> Mix:
    """Every option runs, weighted by a sample of the concrete distribution at temperature t [3]."""
    return dense(tuple(_gumbel_softmax(a, relax_context) for a in logits))


@RELAXATIONS.add("gumbel_hard")
def gumbel_hard(logits: Sequence[Tensor], relax_context: RelaxContext) -> Mix:
    """The one option that a Gumbel sample prefers runs; its weight is 1 with the gradient of the sample [4].

    The published code also adds the bare weights (0) of all other options to the output, which hands
    them the gradient of an operation that never ran; that is left out.
    """
    weights, active = [], []
    for a in logits:
        soft = _gumbel_softmax(a, relax_context)
        chosen = int(soft.argmax())
        weights.append(_one_hot(soft.detach(), chosen) + (soft - soft.detach()))
        active.append((chosen,))
    return Mix(tuple(weights), tuple(active), tuple(() for _ in logits))


@RELAXATIONS.add("dirichlet")
def dirichlet(logits: Sequence[Tensor], relax_context: RelaxContext) -> Mix:
    """Every option runs, weighted by a reparameterised sample of Dirichlet(elu(logit) + 1) [5]."""
    weights = []
    for a in logits:
        sample = torch._standard_gamma(concentration(a), generator=relax_context.generator).clamp_min(1e-20)
        weights.append(sample / sample.sum())
    return dense(tuple(weights))


@RELAXATIONS.add("topk")
def topk(
    logits: Sequence[Tensor],
    relax_context: RelaxContext,
    *,
    t_max: float = 200.0,
    linear: bool = True,
    t_min: float = 1.0,
) -> Mix:
    """The softmax times its differentiable top-1 per choice, times the top-k of all entries of a node [7].

    The temperature rises linearly from `t_min` to `t_max` over the search, or is `t_max` throughout. The
    published ramp begins at 0, where every entry of a top-k is 1/2 whatever the logits: hence `t_min`.
    """
    t = max(t_min, t_max * relax_context.progress) if linear else t_max
    soft = [F.softmax(a, dim=0) for a in logits]
    weights = [m * top_k(m, 1, t) for m in soft]
    for node in nodes(relax_context.choices):
        entries = top_k(torch.cat([soft[e] for e in node.edges]), node.keep, t)
        for e, p in zip(node.edges, torch.split(entries, [len(soft[e]) for e in node.edges]), strict=True):
            weights[e] = weights[e] * p
    return dense(tuple(weights))


@RELAXATIONS.add("softmax_noise")
def softmax_noise(
    logits: Sequence[Tensor], relax_context: RelaxContext, *, eps: float = 0.03, eps_end: float = 0.3
) -> Mix:
    """The softmax plus U(-e, e), cut at 0 and normalised again; e goes from eps to eps_end [8, random]."""
    weights, reach = [], eps + (eps_end - eps) * relax_context.progress
    for a in logits:
        noise = (2 * torch.rand(a.shape, generator=relax_context.generator) - 1).to(a) * reach
        weight = (F.softmax(a, dim=0) + noise).clamp_min(0)
        weights.append(weight / weight.sum().clamp_min(_LEAST_PROBABILITY))
    return dense(tuple(weights))


@RELAXATIONS.add("binary_full")
def binary_full(logits: Sequence[Tensor], relax_context: RelaxContext) -> Mix:
    """One option per choice runs, drawn from softmax(logits); all others are probed [2].

    The gates are one-hot in the forward pass and have the gradient of the probabilities:
    dL/da_i = sum_j dL/dg_j p_j (delta_ij - p_i), with dL/dg_j = <dL/dout, o_j(x)>.
    """
    weights, active, probe, log_prob = [], [], [], []
    for a in logits:
        p = F.softmax(a, dim=0)
        chosen = _draw(p, relax_context, 1)[0]
        weights.append(_one_hot(p, chosen) + (p - p.detach()))
        active.append((chosen,))
        probe.append(tuple(i for i in range(len(a)) if i != chosen))
        log_prob.append(p[chosen].log())
    return Mix(tuple(weights), tuple(active), tuple(probe), torch.stack(log_prob).sum())


@RELAXATIONS.add("binary_two")
def binary_two(logits: Sequence[Tensor], relax_context: RelaxContext) -> Mix:
    """Two options per choice are drawn from softmax(logits) and renormalised; one runs, one is probed [2].

    The gradient is that of `binary_full` over the pair; the policy's `keep_untouched` then rescales
    the pair so that the probabilities of all other options stay put.
    """
    weights: list[Tensor] = []
    active: list[tuple[int, ...]] = []
    probe: list[tuple[int, ...]] = []
    for a in logits:
        if len(a) == 1:
            weights.append(torch.ones_like(a))
            active.append((0,))
            probe.append(())
            continue
        pair = _draw(F.softmax(a.detach(), dim=0), relax_context, 2)
        p = F.softmax(a[pair], dim=0)
        runs = _draw(p, relax_context, 1)[0]
        gates = torch.zeros_like(a).scatter(0, torch.tensor(pair, device=a.device), p - p.detach())
        weights.append(_one_hot(a, pair[runs]) + gates)
        active.append((pair[runs],))
        probe.append((pair[1 - runs],))
    return Mix(tuple(weights), tuple(active), tuple(probe))


@RELAXATIONS.add("sampled")
def sampled(logits: Sequence[Tensor], relax_context: RelaxContext) -> Mix:
    """An architecture runs, drawn from softmax(logits); the gradient is that of `log_prob` alone.

    The edges that a node keeps are drawn one after the other without replacement, each in proportion
    to its probability of not being `none` times its edge weight; then their options.
    """
    probabilities = [F.softmax(a, dim=0) for a in logits]
    arch, log_probs = [0] * len(logits), []
    for edges, keep in _groups(relax_context.choices):
        if keep is None:
            (e,) = edges
            arch[e] = _draw(probabilities[e], relax_context, 1)[0]
            log_probs.append(probabilities[e][arch[e]].log())
            continue
        real = {e: list(real_options(relax_context.choices[e])) for e in edges}
        worth = torch.stack([probabilities[e][real[e]].sum() for e in edges])
        if relax_context.edge_weights is not None:
            worth = worth * relax_context.edge_weights[list(edges)]
        kept = _draw(worth, relax_context, keep)
        log_probs.append(_log_prob_of_order(worth, kept))
        for i, e in enumerate(edges):
            arch[e] = none_of(relax_context.choices[e])
            if i in kept:
                p = probabilities[e][real[e]] / probabilities[e][real[e]].sum()
                drawn = _draw(p, relax_context, 1)[0]
                arch[e] = real[e][drawn]
                log_probs.append(p[drawn].log())
    mix = single(logits, arch, torch.stack(log_probs).sum())
    return replace(mix, draw_probs=tuple(probabilities))


@RELAXATIONS.add("uniform")
def uniform(logits: Sequence[Tensor], relax_context: RelaxContext) -> Mix:
    """An architecture runs, all options (and kept edges) equally likely, whatever the logits."""
    arch = [0] * len(logits)
    for edges, keep in _groups(relax_context.choices):
        order = torch.randperm(len(edges), generator=relax_context.generator)[:keep].tolist() if keep else [0]
        for i, e in enumerate(edges):
            real = range(len(logits[e])) if keep is None else real_options(relax_context.choices[e])
            pick = real[int(torch.randint(len(real), (1,), generator=relax_context.generator))]
            arch[e] = pick if i in order else none_of(relax_context.choices[e])
    return single(logits, arch)


@RELAXATIONS.add("hard")
def hard(logits: Sequence[Tensor], relax_context: RelaxContext) -> Mix:
    """The architecture that the softmax stands for runs (`nodes.strongest`), without gradient."""
    soft = [F.softmax(a, dim=0) for a in logits]
    return single(logits, strongest(soft, relax_context.edge_weights, relax_context.choices))


def dense(weights: tuple[Tensor, ...]) -> Mix:
    """The mix in which every option runs."""
    return Mix(weights, tuple(tuple(range(len(w))) for w in weights), tuple(() for _ in weights))


def single(like: Sequence[Tensor], arch: Sequence[int], log_prob: Tensor | None = None) -> Mix:
    """The mix that is `arch`, its weights of the type and place of `like`; all 0 where one is ABSENT."""
    weights = tuple(_one_hot(a.detach(), i) for a, i in zip(like, arch, strict=True))
    return Mix(weights, tuple((i,) for i in arch), tuple(() for _ in arch), log_prob)


def concentration(logits: Tensor) -> Tensor:
    """elu(logits) + 1, the parameters of a Dirichlet distribution (n_options,) [5]."""
    return F.elu(logits) + 1 + _LEAST_PROBABILITY


def _gumbel_softmax(a: Tensor, relax_context: RelaxContext) -> Tensor:
    u = torch.rand(a.shape, generator=relax_context.generator, dtype=torch.float64).clamp(1e-15, 1 - 1e-15)
    return F.softmax((F.log_softmax(a, dim=0) - (-u.log()).log().to(a)) / relax_context.t, dim=0)


def _groups(choices: tuple[Choice, ...]) -> list[tuple[tuple[int, ...], int | None]]:
    """Each node with its number of edges to keep, each other choice alone with None; in order."""
    found: list[tuple[tuple[int, ...], int | None]] = [(n.edges, n.keep) for n in nodes(choices)]
    in_nodes = {e for edges, _ in found for e in edges}
    return sorted([*found, *(((i,), None) for i in range(len(choices)) if i not in in_nodes)])


def _log_prob_of_order(worth: Tensor, order: Sequence[int]) -> Tensor:
    """Log p of drawing `order` one after the other without replacement, in proportion to worth (n,)."""
    total, left = worth.new_zeros(()), worth
    for i in order:
        total = total + (worth[i] / left.sum()).clamp_min(_LEAST_PROBABILITY).log()
        left = left * (1 - _one_hot(worth.detach(), i))
    return total


def _draw(p: Tensor, relax_context: RelaxContext, n: int) -> list[int]:
    """N different indices, the first with probability p, the next with p renormalised over the rest."""
    p = p.detach().cpu().clamp_min(_LEAST_PROBABILITY)
    return [int(i) for i in torch.multinomial(p, n, generator=relax_context.generator).tolist()]


def _one_hot(like: Tensor, index: int) -> Tensor:
    out = torch.zeros_like(like)
    if index != ABSENT:
        out[index] = 1
    return out
