"""Weight rules: which mixes a weight step trains, and which of them teaches the others.

A rule is a function StepContext -> Pass that leaves the gradients of the training loss in the weights.

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
from hwnas.gradient.step.context import StepContext
from hwnas.gradient.step.gradients import detach_mix, frozen_weights, training_loss
from hwnas.gradient.step.passes import Pass, weight_pass

Rule = Callable[..., Pass]
WEIGHT_RULES: Registry[Rule] = Registry("weight rule")
RULE_PASSES: Registry[Callable[..., float]] = Registry("weight rule's passes")
"""Forward and backward passes of one weight step, from the options of the rule."""


def weight_rule(name: str, passes: Callable[..., float]) -> Callable[[Rule], Rule]:
    """Decorator that files a rule under `name`, and how many passes it makes."""
    RULE_PASSES.add(name)(passes)
    return WEIGHT_RULES.add(name)


@weight_rule("plain", passes=lambda: 1.0)
def plain(context: StepContext) -> Pass:
    """One mix, drawn by the relaxation of the weight step."""
    return _train(context, [_draw(context)])


@weight_rule("adversarial", passes=lambda eps=0.03, eps_end=0.3, steps=7: 1.0 + steps)
def adversarial(context: StepContext, *, eps: float = 0.03, eps_end: float = 0.3, steps: int = 7) -> Pass:
    """The mix with the largest training loss whose probabilities are within e of the drawn ones [1].

    Projected gradient ascent on the probabilities from a random start, `steps` times by 2 e / steps; e goes
    from `eps` to `eps_end` over the search.
    """
    drawn, batch = _draw(context), context.train()
    reach = eps + (eps_end - eps) * context.relax_context.progress
    noise = [reach * (2 * context.relax_context.uniform(p.shape) - 1).to(p) for p in drawn.probs]
    for _ in range(steps):
        mix, leaves = detach_mix(_perturbed(drawn, noise))
        with frozen_weights(context.supernet):
            loss, _ = training_loss(context, mix, batch)
        gradients = torch.autograd.grad(loss, leaves[: len(noise)], allow_unused=True)
        noise = [
            n if g is None else (n + 2 * reach / steps * g.sign()).clamp(-reach, reach)  # type: ignore[arg-type]  # two floats or two tensors
            for n, g in zip(noise, gradients, strict=True)
        ]
    return _train(context, [_perturbed(drawn, noise)])


@weight_rule("sandwich", passes=lambda n=2: 2.0 + n)
def sandwich(context: StepContext, *, n: int = 2) -> Pass:
    """The largest architecture learns from labels, the smallest and `n` drawn ones from its answers [2]."""
    smallest, largest = context.extremes()
    ends = [Mix.one_hot(context.relax_context.choices, arch) for arch in (largest, smallest)]
    return _train(context, [*ends, *(_draw(context) for _ in range(n))])


@weight_rule("distilled", passes=lambda n=1: 1.0 + n)
def distilled(context: StepContext, *, n: int = 1) -> Pass:
    """The largest architecture learns from labels, `n` drawn ones from its answers and the labels [3].

    The published teacher is a copy of the largest network that learns no more.
    """
    _, largest = context.extremes()
    teacher = Mix.one_hot(context.relax_context.choices, largest)
    return _train(context, [teacher, *(_draw(context) for _ in range(n))], label_weight=1.0)


@torch.no_grad()
def _draw(context: StepContext) -> Mix:
    return context.draw(context.relax.weight)


def _train(context: StepContext, mixes: list[Mix], label_weight: float = 0.0) -> Pass:
    where, smoothing = context.checked_at, context.label_smoothing
    return weight_pass(context.supernet, mixes, context.train(), smoothing, where, label_weight, context.task)


def _perturbed(mix: Mix, noise: list[Tensor]) -> Mix:
    probs = [(p + n).clamp_min(0) for p, n in zip(mix.probs, noise, strict=True)]
    return replace(mix, probs=tuple(p / p.sum().clamp_min(1e-9) for p in probs))
