"""Relaxations: how the logits of a policy become the mix that a supernet runs.

A relaxation is a plain function (logits, context) -> Mix. It sees all choices at once, so that it can look
at all edges of a cell node. logits: (n_options,) per choice; the alphas of DARTS. A row of the method table
names one per place: weight step, virtual step, arch step, validation.

[1] Liu et al. 2019, DARTS, 1806.09055. [2] Cai et al. 2019, ProxylessNAS, 1812.00332.
[3] Maddison et al. 2017, 1611.00712; Xie et al. 2019, SNAS, 1812.09926. [4] Dong and Yang 2019, GDAS,
1910.04465. [5] Chen et al. 2021, DrNAS, 2006.10355. [6] Chu et al. 2020, FairDARTS, 1911.12126.
[7] The code of DADARTS. [8] Chen and Hsieh 2020, SmoothDARTS, 2002.05283. [9] Liu et al. 2023, ReinMax,
2304.08612, algorithm 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from hwnas.core.choice import Choice
from hwnas.core.mix import Mix
from hwnas.core.node import ABSENT, nodes_of, none_of
from hwnas.core.number import at_least
from hwnas.core.registry import Registry
from hwnas.gradient.step.nodes import discretise, real_options, top_k_each
from hwnas.gradient.step.protocols import RelaxContext

_LEAST_PROBABILITY = 1e-9
"""Keeps a second option drawable when float32 rounds its probability to 0."""

RELAXATIONS: Registry[Callable[..., Mix]] = Registry("relaxation")


@RELAXATIONS.add("softmax")
def softmax(logits: Sequence[Tensor], context: RelaxContext) -> Mix:
    """Every option runs, weighted by the softmax of logits / t [1]."""
    return dense(tuple(F.softmax(a / context.t, dim=0) for a in logits))


@RELAXATIONS.add("sigmoid")
def sigmoid(logits: Sequence[Tensor], context: RelaxContext) -> Mix:
    """Every option runs, each weighted by the sigmoid of its own logit: they do not compete [6]."""
    return dense(tuple(torch.sigmoid(a) for a in logits))


@RELAXATIONS.add("gumbel")
def gumbel(logits: Sequence[Tensor], context: RelaxContext) -> Mix:
    """Every option runs, weighted by a sample of the concrete distribution at temperature t [3]."""
    return dense(tuple(_gumbel_softmax(a, context) for a in logits))


@RELAXATIONS.add("gumbel_hard")
def gumbel_hard(logits: Sequence[Tensor], context: RelaxContext) -> Mix:
    """The option that a Gumbel sample prefers runs, with probability 1 and the gradient of the sample [4].

    The published code also adds the bare probabilities (0) of all other options to the output, which gives
    them the gradient of an operation that never ran; that is left out.
    """
    probs, active = [], []
    for a in logits:
        soft = _gumbel_softmax(a, context)
        chosen = int(soft.argmax())
        probs.append(_one_hot(soft.detach(), chosen) + (soft - soft.detach()))
        active.append((chosen,))
    return Mix(probs=tuple(probs), active=tuple(active), probe=tuple(() for _ in logits))


@RELAXATIONS.add("reinmax")
def reinmax(logits: Sequence[Tensor], context: RelaxContext) -> Mix:
    """One option per choice runs, drawn from softmax(logits); all others are probed [9].

    One-hot in the forward pass. With D the draw and p the softmax, the backward pass is that of
    2 s - p / 2, where s has the value (D + p) / 2 and the gradient of a softmax there: the rule of Heun
    instead of Euler's, so the mean over the draws is exact wherever the loss is quadratic in the option.
    """
    probs, active, probe = [], [], []
    for a in logits:
        p = F.softmax(a / context.t, dim=0)
        chosen = _draw(F.softmax(a, dim=0), context, 1)[0]
        drawn = _one_hot(p.detach(), chosen)
        middle = ((drawn + p.detach()) / 2).clamp_min(_LEAST_PROBABILITY)
        s = F.softmax((middle.log() - a).detach() + a, dim=0)
        backward = 2 * s - p / 2
        probs.append(drawn + (backward - backward.detach()))
        active.append((chosen,))
        probe.append(tuple(i for i in range(len(a)) if i != chosen))
    return Mix(probs=tuple(probs), active=tuple(active), probe=tuple(probe))


@RELAXATIONS.add("dirichlet")
def dirichlet(logits: Sequence[Tensor], context: RelaxContext) -> Mix:
    """Every option runs, weighted by a reparameterised sample of Dirichlet(elu(logit) + 1) [5]."""
    probs = []
    for a in logits:
        sample = torch._standard_gamma(concentration(a), generator=context.generator).clamp_min(1e-20)
        probs.append(sample / sample.sum())
    return dense(tuple(probs))


@RELAXATIONS.add("topk")
def topk(
    logits: Sequence[Tensor],
    context: RelaxContext,
    *,
    t_max: float = 200.0,
    linear: bool = True,
    t_min: float = 1.0,
) -> Mix:
    """The softmax times its differentiable top-1 per choice, times the top-k of all entries of a node [7].

    The temperature rises linearly from `t_min` to `t_max` over the search, or is `t_max` throughout. The
    published ramp begins at 0, where every entry of a top-k is 1/2 whatever the logits: hence `t_min`.
    """
    t = at_least(t_max * context.progress, t_min) if linear else t_max
    soft = [F.softmax(a, dim=0) for a in logits]
    probs = [m * top for m, top in zip(soft, top_k_each(soft, [1] * len(soft), t), strict=True)]
    nodes = nodes_of(context.choices)
    entries_by_node = [torch.cat([soft[e] for e in node.edges]) for node in nodes]
    tops = top_k_each(entries_by_node, [node.keep for node in nodes], t)
    for node, entries in zip(nodes, tops, strict=True):
        for e, p in zip(node.edges, torch.split(entries, [len(soft[e]) for e in node.edges]), strict=True):
            probs[e] = probs[e] * p
    return dense(tuple(probs))


@RELAXATIONS.add("softmax_noise")
def softmax_noise(
    logits: Sequence[Tensor], context: RelaxContext, *, eps: float = 0.03, eps_end: float = 0.3
) -> Mix:
    """The softmax plus U(-e, e), cut at 0 and normalised again; e goes from eps to eps_end [8, random]."""
    probs, reach = [], eps + (eps_end - eps) * context.progress
    for a in logits:
        noise = (2 * context.uniform(a.shape) - 1).to(a) * reach
        perturbed = (F.softmax(a, dim=0) + noise).clamp_min(0)
        probs.append(perturbed / perturbed.sum().clamp_min(_LEAST_PROBABILITY))
    return dense(tuple(probs))


@RELAXATIONS.add("binary_full")
def binary_full(logits: Sequence[Tensor], context: RelaxContext) -> Mix:
    """One option per choice runs, drawn from softmax(logits); all others are probed [2].

    The gates are one-hot in the forward pass and have the gradient of the probabilities:
    dL/da_i = sum_j dL/dg_j p_j (delta_ij - p_i), with dL/dg_j = <dL/dout, o_j(x)>.
    """
    probs, active, probe, log_prob = [], [], [], []
    for a in logits:
        p = F.softmax(a, dim=0)
        chosen = _draw(p, context, 1)[0]
        probs.append(_one_hot(p, chosen) + (p - p.detach()))
        active.append((chosen,))
        probe.append(tuple(i for i in range(len(a)) if i != chosen))
        log_prob.append(p[chosen].log())
    total = torch.stack(log_prob).sum()
    return Mix(probs=tuple(probs), active=tuple(active), probe=tuple(probe), log_prob=total)


@RELAXATIONS.add("binary_two")
def binary_two(logits: Sequence[Tensor], context: RelaxContext) -> Mix:
    """Two options per choice are drawn from softmax(logits) and renormalised; one runs, one is probed [2].

    The gradient is that of `binary_full` over the pair; the policy's `keep_untouched` then rescales
    the pair so that the probabilities of all other options stay the same.
    """
    probs: list[Tensor] = []
    active: list[tuple[int, ...]] = []
    probe: list[tuple[int, ...]] = []
    for a in logits:
        if len(a) == 1:
            probs.append(torch.ones_like(a))
            active.append((0,))
            probe.append(())
            continue
        pair = _draw(F.softmax(a.detach(), dim=0), context, 2)
        p = F.softmax(a[pair], dim=0)
        runs = _draw(p, context, 1)[0]
        gates = torch.zeros_like(a).scatter(0, torch.tensor(pair, device=a.device), p - p.detach())
        probs.append(_one_hot(a, pair[runs]) + gates)
        active.append((pair[runs],))
        probe.append((pair[1 - runs],))
    return Mix(probs=tuple(probs), active=tuple(active), probe=tuple(probe))


@RELAXATIONS.add("sampled")
def sampled(logits: Sequence[Tensor], context: RelaxContext) -> Mix:
    """An architecture runs, drawn from softmax(logits); the gradient is that of `log_prob` alone.

    The edges that a node keeps are drawn one after the other without replacement, each in proportion
    to its probability of not being `none` times its edge weight; then their options.
    """
    probabilities = [F.softmax(a, dim=0) for a in logits]
    arch, log_probs = [0] * len(logits), []
    for edges, keep in _groups(context.choices):
        if keep is None:
            (e,) = edges
            arch[e] = _draw(probabilities[e], context, 1)[0]
            log_probs.append(probabilities[e][arch[e]].log())
            continue
        real = {e: list(real_options(context.choices[e])) for e in edges}
        scores = torch.stack([probabilities[e][real[e]].sum() for e in edges])
        if context.edge_weights is not None:
            scores = scores * context.edge_weights[list(edges)]
        kept = _draw(scores, context, keep)
        log_probs.append(_log_prob_of_order(scores, kept))
        for i, e in enumerate(edges):
            arch[e] = none_of(context.choices[e])
            if i in kept:
                p = probabilities[e][real[e]] / probabilities[e][real[e]].sum()
                drawn = _draw(p, context, 1)[0]
                arch[e] = real[e][drawn]
                log_probs.append(p[drawn].log())
    mix = single(logits, arch, torch.stack(log_probs).sum())
    return replace(mix, draw_probs=tuple(probabilities))


@RELAXATIONS.add("uniform")
def uniform(logits: Sequence[Tensor], context: RelaxContext) -> Mix:
    """An architecture runs, all options (and kept edges) equally likely, whatever the logits."""
    arch, device = [0] * len(logits), context.generator.device
    for edges, keep in _groups(context.choices):
        order = [0]
        if keep:
            order = torch.randperm(len(edges), generator=context.generator, device=device)[:keep].tolist()
        for i, e in enumerate(edges):
            real = range(len(logits[e])) if keep is None else real_options(context.choices[e])
            pick = real[int(torch.randint(len(real), (1,), generator=context.generator, device=device))]
            arch[e] = pick if i in order else none_of(context.choices[e])
    return single(logits, arch)


@RELAXATIONS.add("hard")
def hard(logits: Sequence[Tensor], context: RelaxContext) -> Mix:
    """The discretised softmax runs (`nodes.discretise`): one architecture, without gradient."""
    soft = [F.softmax(a, dim=0) for a in logits]
    return single(logits, discretise(soft, context.edge_weights, context.choices))


def dense(probs: tuple[Tensor, ...]) -> Mix:
    """The mix in which every option runs."""
    active = tuple(tuple(range(len(p))) for p in probs)
    return Mix(probs=probs, active=active, probe=tuple(() for _ in probs))


def single(like: Sequence[Tensor], arch: Sequence[int], log_prob: Tensor | None = None) -> Mix:
    """The one-hot mix of `arch`, of the type and device of `like`; all 0 where an option is ABSENT."""
    probs = tuple(_one_hot(a.detach(), i) for a, i in zip(like, arch, strict=True))
    active = tuple((i,) for i in arch)
    return Mix(probs=probs, active=active, probe=tuple(() for _ in arch), log_prob=log_prob)


def concentration(logits: Tensor) -> Tensor:
    """elu(logits) + 1, the parameters of a Dirichlet distribution (n_options,) [5]."""
    return F.elu(logits) + 1 + _LEAST_PROBABILITY


def _gumbel_softmax(a: Tensor, context: RelaxContext) -> Tensor:
    u = context.uniform(a.shape, torch.float64).clamp(1e-15, 1 - 1e-15)
    return F.softmax((F.log_softmax(a, dim=0) - (-u.log()).log().to(a)) / context.t, dim=0)


def _groups(choices: tuple[Choice, ...]) -> list[tuple[tuple[int, ...], int | None]]:
    """Each node with its number of edges to keep, each other choice alone with None; in order."""
    groups: list[tuple[tuple[int, ...], int | None]] = [(n.edges, n.keep) for n in nodes_of(choices)]
    in_nodes = {e for edges, _ in groups for e in edges}
    return sorted([*groups, *(((i,), None) for i in range(len(choices)) if i not in in_nodes)])


def _log_prob_of_order(scores: Tensor, order: Sequence[int]) -> Tensor:
    """Log p of drawing `order` one after the other without replacement, in proportion to scores (n,)."""
    total, remaining = scores.new_zeros(()), scores
    for i in order:
        total = total + (scores[i] / remaining.sum()).clamp_min(_LEAST_PROBABILITY).log()
        remaining = remaining * (1 - _one_hot(scores.detach(), i))
    return total


def _draw(p: Tensor, context: RelaxContext, n: int) -> list[int]:
    """N different indices, the first with probability p, the next with p renormalised over the rest."""
    p = p.detach().to(context.generator.device).clamp_min(_LEAST_PROBABILITY)
    return [int(i) for i in torch.multinomial(p, n, generator=context.generator).tolist()]


def _one_hot(like: Tensor, index: int) -> Tensor:
    one_hot = torch.zeros_like(like)
    if index != ABSENT:
        one_hot[index] = 1
    return one_hot
