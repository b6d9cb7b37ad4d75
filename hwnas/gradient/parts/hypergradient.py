"""Hypergradients: how the gradient of the policy is found.

The loop calls `arch_step` when one is due, then `weight_step` unless the arch step has made that too
(`StepContext.step_weights`); each leaves gradients behind and the loop steps the optimisers. `first_order`
and `single_level` are here, `unrolled`, `response` and `reinforce` in files of their own.

[1] Liu et al. 2019, DARTS, 1806.09055, section 2.3. [2] Xie et al. 2019, SNAS, 1812.09926, section 2.3.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn

from hwnas.core.registry import Registry
from hwnas.gradient.passes import Pass
from hwnas.gradient.step_context import ArchPass, StepContext, arch_score, frozen, leave, require_gradient

from .policy import Policy


class Hypergradient(Protocol):
    """own: tensors beside the weights, checkpointed; its parameters are learned with the weights."""

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
    """The weights count as fixed: grad_alpha L_val(w, alpha) [1]."""

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
        drawn = context.policy.draw(context.relax.arch, context.relax_context)
        with frozen(context.supernet):
            out = arch_score(context, drawn, context.val())
        require_gradient(context, out.score.total)
        parameters = list(context.policy.parameters())
        leave(context, torch.autograd.grad(out.score.total, parameters, allow_unused=True))
        return out

    def weight_step(self, context: StepContext) -> Pass:
        """As the method's rule has it."""
        return context.weight_rule(context)


@HYPERGRADIENTS.add("single_level")
class SingleLevel:
    """Weights and policy learn from one pass on one training batch [2]."""

    def __init__(self, supernet: nn.Module, policy: Policy, generator: torch.Generator) -> None:
        self.own = nn.Module()

    @staticmethod
    def passes() -> float:
        """None: it is the pass of the weight step."""
        return 0.0

    @staticmethod
    def takes_rule() -> bool:
        """No: an arch step makes the weight step."""
        return False

    def arch_step(self, context: StepContext) -> ArchPass:
        """One pass; steps the weights itself."""
        drawn = context.policy.draw(context.relax.arch, context.relax_context)
        out = arch_score(context, drawn, context.train())
        require_gradient(context, out.score.total)
        parameters, weights = list(context.policy.parameters()), context.weights.parameters
        found = torch.autograd.grad(out.score.total, [*parameters, *weights], allow_unused=True)
        leave(context, found[: len(parameters)])
        for weight, gradient in zip(weights, found[len(parameters) :], strict=True):
            weight.grad = gradient
        context.step_weights()
        return ArchPass(out.found, out.score, out.found)

    def weight_step(self, context: StepContext) -> Pass:
        """While the policy is frozen: as the method's rule has it."""
        return context.weight_rule(context)
