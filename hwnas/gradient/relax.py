"""Relaxations: how the logits of a policy become the mix that a supernet runs.

Plain functions (logits per choice, moment) -> Mix. They see all choices at once, so that one may
look at the edges of a whole cell node. One is named per place: weight step, virtual step, arch
step, validation (`methods.Places`).

[1] Liu et al. 2019, DARTS, 1806.09055. [2] Cai et al. 2019, ProxylessNAS, 1812.00332.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from ..mix import Choice, Mix
from ..registry import Registry

_LEAST_PROBABILITY = 1e-9
"""Keeps a second option drawable when float32 rounds its probability to 0."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What a relaxation may depend on besides the logits.

    generator: the source of all draws, on the CPU; its state is part of every checkpoint.
    t: temperature of the stage at this step.
    """

    choices: tuple[Choice, ...]
    generator: torch.Generator
    t: float = 1.0


class Relax(Protocol):
    """logits: one tensor (n_options,) per choice; returns the mix to run."""

    def __call__(self, logits: Sequence[Tensor], moment: Moment) -> Mix:
        """The mix that runs."""
        ...


RELAXATIONS: Registry[Relax] = Registry("relaxation")


@RELAXATIONS.add("softmax")
def softmax(logits: Sequence[Tensor], moment: Moment) -> Mix:
    """Every option runs, weighted by the softmax of logits / t [1]."""
    weights = tuple(F.softmax(a / moment.t, dim=0) for a in logits)
    return Mix(weights, tuple(tuple(range(len(a))) for a in logits), tuple(() for _ in logits))


@RELAXATIONS.add("binary_full")
def binary_full(logits: Sequence[Tensor], moment: Moment) -> Mix:
    """One option per choice runs, drawn from softmax(logits); all others are probed [2].

    The gates are one-hot in the forward pass and have the gradient of the probabilities:
    dL/da_i = sum_j dL/dg_j p_j (delta_ij - p_i), with dL/dg_j = <dL/dout, o_j(x)>.
    """
    weights, active, probe, log_prob = [], [], [], []
    for a in logits:
        p = F.softmax(a, dim=0)
        chosen = _draw(p, moment, 1)[0]
        weights.append(_one_hot(p, chosen) + (p - p.detach()))
        active.append((chosen,))
        probe.append(tuple(i for i in range(len(a)) if i != chosen))
        log_prob.append(p[chosen].log())
    return Mix(tuple(weights), tuple(active), tuple(probe), torch.stack(log_prob).sum())


@RELAXATIONS.add("binary_two")
def binary_two(logits: Sequence[Tensor], moment: Moment) -> Mix:
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
        pair = _draw(F.softmax(a.detach(), dim=0), moment, 2)
        p = F.softmax(a[pair], dim=0)
        runs = _draw(p, moment, 1)[0]
        gates = torch.zeros_like(a).scatter(0, torch.tensor(pair, device=a.device), p - p.detach())
        weights.append(_one_hot(a, pair[runs]) + gates)
        active.append((pair[runs],))
        probe.append((pair[1 - runs],))
    return Mix(tuple(weights), tuple(active), tuple(probe))


@RELAXATIONS.add("sampled")
def sampled(logits: Sequence[Tensor], moment: Moment) -> Mix:
    """One option per choice runs, drawn from softmax(logits); the gradient is that of `log_prob` alone."""
    probabilities = [F.softmax(a, dim=0) for a in logits]
    arch = [_draw(p, moment, 1)[0] for p in probabilities]
    log_prob = torch.stack([p[i].log() for p, i in zip(probabilities, arch, strict=True)]).sum()
    return _single(logits, arch, log_prob)


@RELAXATIONS.add("uniform")
def uniform(logits: Sequence[Tensor], moment: Moment) -> Mix:
    """One option per choice runs, all equally likely, whatever the logits."""
    return _single(logits, [int(torch.randint(len(a), (1,), generator=moment.generator)) for a in logits])


@RELAXATIONS.add("hard")
def hard(logits: Sequence[Tensor], moment: Moment) -> Mix:
    """The most probable option of each choice runs, with weight 1 and no gradient."""
    return _single(logits, [int(a.argmax()) for a in logits])


def _draw(p: Tensor, moment: Moment, n: int) -> list[int]:
    """N different indices, the first with probability p, the next with p renormalised over the rest."""
    p = p.detach().cpu().clamp_min(_LEAST_PROBABILITY)
    return [int(i) for i in torch.multinomial(p, n, generator=moment.generator).tolist()]


def _one_hot(like: Tensor, index: int) -> Tensor:
    out = torch.zeros_like(like)
    out[index] = 1
    return out


def _single(logits: Sequence[Tensor], arch: Sequence[int], log_prob: Tensor | None = None) -> Mix:
    weights = tuple(_one_hot(a.detach(), i) for a, i in zip(logits, arch, strict=True))
    return Mix(weights, tuple((i,) for i in arch), tuple(() for _ in arch), log_prob)
