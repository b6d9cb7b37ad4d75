"""Hypergradients: how the gradient of the policy is found, and what that makes of the weight step.

The loop calls `arch_step` (when one is due), then `weight_step`; each leaves gradients behind and
the loop steps the optimisers. That order carries the others without a change to the loop: the
unrolled gradient with the virtual step reused makes the weight step itself inside `arch_step`,
through `scene.weights`, and its `weight_step` returns None; single-level leaves both gradients at
once; a response hypernetwork keeps its tensors in `own`, where the weight optimiser finds them.

[1] Liu et al. 2019, DARTS, 1806.09055, section 2.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional as F

from targets.errors import UsageError

from ..registry import Registry
from .objective import Objective, Score
from .optim import WeightOptimizer, require_finite
from .passes import Batch, Pass, accuracy, run_mix, weight_pass
from .policy import Policy
from .relax import Moment, Relax


@dataclass(frozen=True, slots=True)
class Places:
    """One value per place where a mix is drawn."""

    weight: Relax
    virtual: Relax
    arch: Relax
    validation: Relax


@dataclass(frozen=True, slots=True)
class Scene:
    """All that one search step may use.

    train, val: functions, so that a batch that nobody asks for is never made.
    """

    supernet: nn.Module
    policy: Policy
    relax: Places
    objective: Objective
    weights: WeightOptimizer
    moment: Moment
    step: int
    label_smoothing: float
    train: Callable[[], Batch]
    val: Callable[[], Batch]
    where: str


@dataclass(frozen=True, slots=True)
class ArchPass:
    """An arch step: the pass on the validation batch and the score that was minimised."""

    found: Pass
    score: Score


class Hypergradient(Protocol):
    """own: extra tensors, learned with the weights and checkpointed; an empty module when there are none."""

    own: nn.Module

    def arch_step(self, scene: Scene) -> ArchPass:
        """Leave the gradient of the objective in the policy's parameters."""

    def weight_step(self, scene: Scene) -> Pass | None:
        """Leave the gradients of the training loss in the weights; None: the step is made already."""


HYPERGRADIENTS: Registry[Any] = Registry("hypergradient")


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """What is built inside needs no gradient of the weights: a third of a backward pass less."""
    learned = [p for p in module.parameters() if p.requires_grad]
    for p in learned:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in learned:
            p.requires_grad_(True)


@HYPERGRADIENTS.add("first_order")
class FirstOrder:
    """The weights count as fixed: grad_alpha L_val(w, alpha) [1]."""

    def __init__(self) -> None:
        self.own = nn.Module()

    def arch_step(self, scene: Scene) -> ArchPass:
        """One pass on a validation batch; gradients of weights are neither computed nor touched."""
        x, y = scene.val()
        drawn = scene.policy.draw(scene.relax.arch, scene.moment)
        with _frozen(scene.supernet):
            logits = run_mix(scene.supernet, drawn, x)
        loss = F.cross_entropy(logits, y)
        value = require_finite(loss, scene.where)
        score = scene.objective(loss.cpu(), drawn, scene.policy.soft_mix(), scene.moment.t)
        if not score.total.requires_grad:
            raise UsageError(
                f"{scene.where}: neither the relaxation of the arch step nor a cost gives the policy a "
                "gradient; relax by softmax or binary gates, or add a budget"
            )
        parameters = list(scene.policy.parameters())
        gradients = torch.autograd.grad(score.total, parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        return ArchPass(Pass(drawn, value, accuracy(logits, y)), score)

    def weight_step(self, scene: Scene) -> Pass:
        """One pass on a training batch; no gradient reaches the policy."""
        with torch.no_grad():
            drawn = scene.policy.draw(scene.relax.weight, scene.moment)
        return weight_pass(scene.supernet, (drawn,), scene.train(), scene.label_smoothing, scene.where)
