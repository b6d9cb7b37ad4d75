"""Hypergradients: the gradient of the validation loss by the policy's parameters, the alphas of DARTS.

The loop calls `arch_step` when one is due, and then `weight_step`, unless the arch step has changed the
weights itself (`StepContext.step_weights`). Both leave gradients behind and the loop steps the optimisers.
`first_order` and `single_level` are here, `unrolled`, `response` and `reinforce` in files of their own.

[1] Liu et al. 2019, DARTS, 1806.09055, section 2.3. [2] Xie et al. 2019, SNAS, 1812.09926, section 2.3.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn

from hwnas.core.registry import Registry
from hwnas.gradient.step.context import ArchPass, StepContext
from hwnas.gradient.step.gradients import (
    arch_pass,
    frozen_weights,
    require_gradient,
    set_policy_gradients,
)
from hwnas.gradient.step.passes import Pass
from hwnas.gradient.step.protocols import Policy


class Hypergradient(Protocol):
    """How a search learns its policy.

    own: tensors beside the weights, which are checkpointed; its parameters are learned with the weights.
    """

    own: nn.Module

    def arch_step(self, context: StepContext) -> ArchPass:
        """Leave the gradient of the objective in the policy's parameters."""

    def weight_step(self, context: StepContext) -> Pass:
        """Leave the gradients of the training loss in the weights."""

    @staticmethod
    def passes(**options: Any) -> float:
        """Forward and backward passes that an arch step adds to a weight step."""

    @staticmethod
    def takes_rule(**options: Any) -> bool:
        """Whether every weight step is that of the method's weight rule."""


HYPERGRADIENTS: Registry[Any] = Registry("hypergradient")
"""Classes, called with (supernet, policy, generator) and the options of the row."""


@HYPERGRADIENTS.add("first_order")
class FirstOrder:
    """The gradient grad_alpha L_val(w, alpha) with the weights w as constants [1]."""

    def __init__(self, supernet: nn.Module, policy: Policy, generator: torch.Generator) -> None:
        self.own = nn.Module()

    @staticmethod
    def passes() -> float:
        """One, on a validation batch."""
        return 1.0

    @staticmethod
    def takes_rule() -> bool:
        """Yes."""
        return True

    def arch_step(self, context: StepContext) -> ArchPass:
        """One pass on a validation batch; gradients of weights are neither computed nor touched."""
        drawn = context.draw(context.relax.arch)
        with frozen_weights(context.supernet):
            step = arch_pass(context, drawn, context.val())
        require_gradient(context, step.score.total)
        parameters = list(context.policy.parameters())
        gradients = torch.autograd.grad(step.score.total, parameters, allow_unused=True)
        set_policy_gradients(context, gradients)
        return step

    def weight_step(self, context: StepContext) -> Pass:
        """By the weight rule of the method."""
        return context.weight_rule(context)


@HYPERGRADIENTS.add("single_level")
class SingleLevel:
    """Weights and policy learn from one pass on one training batch [2]."""

    def __init__(self, supernet: nn.Module, policy: Policy, generator: torch.Generator) -> None:
        self.own = nn.Module()

    @staticmethod
    def passes() -> float:
        """0, because the pass is that of the weight step."""
        return 0.0

    @staticmethod
    def takes_rule() -> bool:
        """No: an arch step makes the weight step."""
        return False

    def arch_step(self, context: StepContext) -> ArchPass:
        """One pass; steps the weights itself."""
        drawn = context.draw(context.relax.arch)
        step = arch_pass(context, drawn, context.train())
        require_gradient(context, step.score.total)
        parameters, weights = list(context.policy.parameters()), context.weights.parameters
        gradients = torch.autograd.grad(step.score.total, [*parameters, *weights], allow_unused=True)
        set_policy_gradients(context, gradients[: len(parameters)])
        for weight, gradient in zip(weights, gradients[len(parameters) :], strict=True):
            weight.grad = gradient
        context.step_weights()
        return ArchPass(step.forward, step.score, weight=step.forward)

    def weight_step(self, context: StepContext) -> Pass:
        """By the weight rule of the method, while the policy is frozen."""
        return context.weight_rule(context)
