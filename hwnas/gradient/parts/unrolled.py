"""The unrolled hypergradient: the policy sees the weights after one more step.

[1] Liu et al. 2019, DARTS, 1806.09055, section 2.3, equations 6 to 8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from hwnas.core.mix import Mix
from hwnas.data.batches import Batch
from hwnas.gradient.step.context import ArchPass, StepContext
from hwnas.gradient.step.gradients import (
    add_scaled,
    arch_pass,
    backward_to_policy,
    detach_mix,
    double_backward,
    frozen_weights,
    require_gradient,
    same_noise,
    set_policy_gradients,
    temporary_values,
    training_loss,
)
from hwnas.gradient.step.passes import Pass
from hwnas.gradient.step.protocols import Policy
from targets.errors import UsageError

from .hypergradient import HYPERGRADIENTS

Gradients = list[Tensor | None]
_TINY = 1e-12


@HYPERGRADIENTS.add("unrolled")
class Unrolled:
    """grad_alpha L_val(w', alpha), w' = one SGD step from w, momentum, decay and clip included [1].

        g = d_alpha - xi H v,   v = grad_w' L_val,   H v = d/d eps grad_alpha L_train(w + eps v)

    alpha: the parameters of the policy. xi: the learning rate. d_alpha: grad_alpha L_val with w' constant.

    r: the length of eps v in the finite difference. The published 0.01 is exact on smooth networks and
        measures noise on those with ReLU and max-pooling, where 0.3 comes closer.
    one_sided: take the difference to grad_alpha L_train(w), which the virtual step gives for nothing; one
        pass less.
    reuse: the virtual step is the real one; one pass less, and g belongs to the step that was made.
    exact: by double backward instead of a finite difference; `r` has no effect.
    """

    def __init__(
        self,
        supernet: nn.Module,
        policy: Policy,
        generator: torch.Generator,
        *,
        r: float = 0.3,
        one_sided: bool = False,
        reuse: bool = False,
        exact: bool = False,
    ) -> None:
        if exact and (one_sided or reuse):
            raise UsageError("unrolled(exact=True) takes no finite difference; leave out one_sided and reuse")
        if not r > 0:
            raise UsageError(f"unrolled: r, the length of the finite difference, must be above 0, got {r!r}")
        self.r, self.one_sided, self.reuse, self.exact = r, one_sided, reuse, exact
        self.own = nn.Module()

    @staticmethod
    def passes(*, r: float = 0.3, one_sided: bool = False, reuse: bool = False, exact: bool = False) -> float:
        """Virtual step, validation, two differences; double backward was measured at 4.5 passes."""
        return 5.5 if exact else 4.0 - one_sided - reuse

    @staticmethod
    def takes_rule(*, reuse: bool = False, **_: object) -> bool:
        """Unless the virtual step is the real one."""
        return not reuse

    def arch_step(self, context: StepContext) -> ArchPass:
        """The weights are the same afterwards, to the bit, unless `reuse`."""
        place = context.relax.weight if self.reuse else context.relax.virtual
        drawn, batch = context.draw(place), context.train()
        if self.exact:
            return self._exact(context, drawn, batch)
        with same_noise(context) as rewind:
            return self._by_difference(context, drawn, batch, rewind)

    def weight_step(self, context: StepContext) -> Pass:
        """By the weight rule of the method."""
        return context.weight_rule(context)

    def _by_difference(
        self, context: StepContext, drawn: Mix, batch: Batch, rewind: Callable[[], None]
    ) -> ArchPass:
        parameters = context.weights.parameters
        unshifted, gradients, trained = _train(context, drawn, batch, parameters)
        before = [p.detach().clone() for p in parameters] if self.reuse else [p.data for p in parameters]
        values, slope = context.weights.ahead(context.lr, gradients)
        if self.reuse:
            for p, g in zip(parameters, gradients, strict=True):
                p.grad = g
            context.step_weights()
            values = [p.data for p in parameters]
        with temporary_values(parameters, values):
            step, direct, v = _validate(context)

        def gradients_at(eps: Tensor) -> Gradients:
            rewind()
            shifted = [w if d is None else w + eps * d for w, d in zip(before, v, strict=True)]
            with temporary_values(parameters, shifted), frozen_weights(context.supernet):
                return _train(context, drawn, batch, [])[0]

        if any(p.requires_grad for p in drawn.probs):
            norm = nn.utils.get_total_norm([d for d in v if d is not None], foreach=True)
            eps = self.r / norm.clamp_min(_TINY)  # of a gradient of 0 the difference is 0 too
            up = gradients_at(eps)
            down = unshifted if self.one_sided else gradients_at(-eps)
            width = eps if self.one_sided else 2 * eps
            by_mix = [add_scaled(a, b, -1.0) for a, b in zip(up, down, strict=True)]
            hessian = backward_to_policy(context, drawn, by_mix)
            factor = (-slope / width).to(drawn.probs[0].device)
            direct = [add_scaled(d, h, factor) for d, h in zip(direct, hessian, strict=True)]
        set_policy_gradients(context, direct)
        return ArchPass(step.forward, step.score, weight=trained if self.reuse else None)

    def _exact(self, context: StepContext, drawn: Mix, batch: Batch) -> ArchPass:
        names = [name for name, _ in context.supernet.named_parameters()]
        parameters = list(context.policy.parameters())
        with double_backward(context, "use unrolled without exact, such as darts-2"):
            loss, _ = training_loss(context, drawn, batch)
            gradients = torch.autograd.grad(
                loss, context.weights.parameters, create_graph=True, allow_unused=True
            )
            values, _ = context.weights.ahead(context.lr, gradients)
            mix = context.draw(context.relax.arch)
            step = arch_pass(context, mix, context.val(), dict(zip(names, values, strict=True)))
            require_gradient(context, step.score.total)
            by_policy = torch.autograd.grad(step.score.total, parameters, allow_unused=True)
            set_policy_gradients(context, by_policy)
        return step


def _train(
    context: StepContext, drawn: Mix, batch: Batch, parameters: Sequence[nn.Parameter]
) -> tuple[Gradients, Gradients, Pass]:
    """Gradients of the training loss by the leaves of the mix and by the parameters; and the pass."""
    mix, leaves = detach_mix(drawn)
    loss, forward = training_loss(context, mix, batch)
    gradients = torch.autograd.grad(loss, [*leaves, *parameters], allow_unused=True)
    return list(gradients[: len(leaves)]), list(gradients[len(leaves) :]), forward


def _validate(context: StepContext) -> tuple[ArchPass, Gradients, Gradients]:
    """The objective on a validation batch; its gradients by the policy and by the weights."""
    step = arch_pass(context, context.draw(context.relax.arch), context.val())
    require_gradient(context, step.score.total)
    policy, weights = list(context.policy.parameters()), context.weights.parameters
    gradients = torch.autograd.grad(step.score.total, [*policy, *weights], allow_unused=True)
    return step, list(gradients[: len(policy)]), list(gradients[len(policy) :])
