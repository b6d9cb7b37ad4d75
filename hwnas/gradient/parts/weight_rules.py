"""Weight rules: which mixes a weight step trains, and who teaches whom.

[1] Chen and Hsieh 2020, SmoothDARTS, 2002.05283, section 4.1. [2] Yu et al. 2020, BigNAS, 2003.11142,
section 3.1: sandwich rule and in-place distillation. [3] Cai et al. 2020, Once-for-all, 1908.09791, and
its code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from hwnas.core.mix import Mix
from hwnas.core.registry import Registry
from hwnas.gradient.passes import Pass, weight_pass
from hwnas.gradient.step_context import StepContext, frozen, leaves_of, training_loss

WEIGHT_RULES: Registry[Callable[..., Pass]] = Registry("weight rule")

PASSES: dict[str, Callable[..., float]] = {
    "plain": lambda: 1.0,
    "adversarial": lambda eps=0.03, eps_end=0.3, steps=7: 1.0 + steps,
    "sandwich": lambda n=2: 2.0 + n,
    "distilled": lambda n=1: 1.0 + n,
}
"""Forward and backward passes of a step."""


@WEIGHT_RULES.add("plain")
def plain(context: StepContext) -> Pass:
    """One mix of the weight place."""
    return _train(context, [_draw(context)])


@WEIGHT_RULES.add("adversarial")
def adversarial(context: StepContext, *, eps: float = 0.03, eps_end: float = 0.3, steps: int = 7) -> Pass:
    """The mix within e of the drawn one, in each weight, that the network does worst at [1].

    Projected gradient ascent on the weights of the mix from a random start, 2 e / steps at a time; e goes
    from eps to eps_end over the search.
    """
    drawn, batch = _draw(context), context.train()
    reach = eps + (eps_end - eps) * context.relax_context.progress
    noise = [
        reach * (2 * torch.rand(w.shape, generator=context.relax_context.generator) - 1).to(w)
        for w in drawn.probs
    ]
    for _ in range(steps):
        mix, leaves = leaves_of(_perturbed(drawn, noise))
        with frozen(context.supernet):
            loss, _ = training_loss(context, mix, batch)
        weights = leaves[: len(noise)]
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        noise = [
            n if g is None else (n + 2 * reach / steps * g.sign()).clamp(-reach, reach)
            for n, g in zip(noise, gradients, strict=True)
        ]
    return _train(context, [_perturbed(drawn, noise)])


@WEIGHT_RULES.add("sandwich")
def sandwich(context: StepContext, *, n: int = 2) -> Pass:
    """The largest architecture learns from labels, the smallest and `n` drawn ones from its answers [2]."""
    smallest, largest = context.extremes()
    ends = [Mix.one_hot(context.relax_context.choices, arch) for arch in (largest, smallest)]
    return _train(context, [*ends, *(_draw(context) for _ in range(n))])


@WEIGHT_RULES.add("distilled")
def distilled(context: StepContext, *, n: int = 1) -> Pass:
    """The largest architecture learns from labels, `n` drawn ones from its answers and the labels [3].

    The published teacher is a copy of the largest network that learns no more.
    """
    _, largest = context.extremes()
    teacher = Mix.one_hot(context.relax_context.choices, largest)
    return _train(context, [teacher, *(_draw(context) for _ in range(n))], labels=1.0)


@torch.no_grad()
def _draw(context: StepContext) -> Mix:
    return context.policy.draw(context.relax.weight, context.relax_context)


def _train(context: StepContext, mixes: list[Mix], labels: float = 0.0) -> Pass:
    return weight_pass(
        context.supernet, mixes, context.train(), context.label_smoothing, context.where, labels
    )


def _perturbed(mix: Mix, noise: list[Tensor]) -> Mix:
    weights = [(w + n).clamp_min(0) for w, n in zip(mix.probs, noise, strict=True)]
    return replace(mix, probs=tuple(w / w.sum().clamp_min(1e-9) for w in weights))
