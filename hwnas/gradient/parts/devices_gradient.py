"""The gradient of a policy for several devices: one per device, combined so that no device is forgotten.

[1] Sukthanker et al. 2025, MODNAS, 2402.18213, section 3.3 and algorithm 1. [2] Desideri 2012, multiple-
gradient descent; Sener and Koltun 2018, 1810.04650. [3] Lawson and Hanson 1974, chapter 23: least distance.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor, nn
from torch.nn import functional as F

from hwnas.gradient.step.context import ArchPass, StepContext
from hwnas.gradient.step.devices import SearchDevice
from hwnas.gradient.step.gradients import frozen_weights, score, set_policy_gradients
from hwnas.gradient.step.optim import checked_loss
from hwnas.gradient.step.passes import Pass, accuracy, run_mix
from hwnas.gradient.step.protocols import Policy
from targets.errors import UsageError

from .hyper_policy import HyperPolicy
from .hypergradient import HYPERGRADIENTS

_TINY = 1e-12


@HYPERGRADIENTS.add("devices")
class DevicesGradient:
    """First order, under one drawn preference (r, 1 - r), once per device t [1].

        loss_t = r L + (1 - r) E_t / typical_t - alignment cos((L, E_t / typical_t), (r, 1 - r))

    L: the loss of the task. E_t: the expected latency of the policy. The gradients, each of length 1, are
    combined by the weights that give the shortest sum [2]: a step along it makes no device worse. Budgets add
    their own terms.

    alignment: weight of the term that pulls the two losses towards the preference. At 1 it outweighs the
        rest: under r = 1 it asks for a small latency too. On the toy of test_hyper_policy.py every preference
        then decodes to one architecture; at 0.01 to three and five.
    """

    def __init__(
        self, supernet: nn.Module, policy: Policy, generator: torch.Generator, *, alignment: float = 0.01
    ) -> None:
        if not isinstance(policy, HyperPolicy):
            raise UsageError(
                "hypergradient 'devices' needs a policy that knows devices: policy = 'hypernetwork'"
            )
        self.own, self._policy, self._alignment = nn.Module(), policy, alignment

    @staticmethod
    def passes(*, alignment: float = 0.01) -> float:
        """One per device of the search."""
        return 1.0

    @staticmethod
    def takes_rule(*, alignment: float = 0.01) -> bool:
        """Yes."""
        return True

    def arch_step(self, context: StepContext) -> ArchPass:
        """One pass per device, on one validation batch."""
        preference = float(torch.rand((), generator=context.relax_context.generator))
        parameters = list(self._policy.parameters())
        batch, rows = context.val(), []
        for device in context.devices:
            with self._policy.under(preference, device.features):
                last, total = self._pass(context, batch, device, preference)
                gradients = torch.autograd.grad(total, parameters, allow_unused=True)
            flat = [
                torch.zeros_like(p) if g is None else g for p, g in zip(parameters, gradients, strict=True)
            ]
            rows.append(torch.cat([g.flatten() for g in flat]))
        combined = common_descent(torch.stack(rows))
        sizes = [p.numel() for p in parameters]
        parts = zip(torch.split(combined, sizes), parameters, strict=True)
        set_policy_gradients(context, [part.view_as(p) for part, p in parts])
        return last

    def weight_step(self, context: StepContext) -> Pass:
        """By the weight rule of the method: under a preference and a device drawn anew."""
        return context.weight_rule(context)

    def _pass(
        self, context: StepContext, batch: tuple[Tensor, Tensor], device: SearchDevice, preference: float
    ) -> tuple[ArchPass, Tensor]:
        x, y = batch
        drawn = context.draw(context.relax.arch)
        with frozen_weights(context.supernet):
            outputs = run_mix(context.supernet, drawn, x)
            loss = context.task.loss(outputs, y)
        forward = Pass(drawn, checked_loss(loss, context.checked_at), accuracy(outputs, y, context.task))
        scored = score(context, preference * loss, drawn, self._policy.soft_mix())
        pair = torch.stack([loss.cpu(), scored.expected[device.metric] / device.typical])
        rays = pair.new_tensor([preference, 1 - preference])
        total = scored.total + rays[1] * pair[1] - self._alignment * F.cosine_similarity(pair, rays, dim=0)
        return ArchPass(forward, scored), total


def common_descent(gradients: Tensor) -> Tensor:
    """The shortest convex combination of the rows (n, p), each scaled to length 1 first: (p,)."""
    unit = gradients / gradients.norm(dim=1, keepdim=True).clamp_min(_TINY)
    combined: Tensor = least_norm_weights(unit @ unit.T) @ unit
    return combined


def least_norm_weights(gram: Tensor) -> Tensor:
    """The weights (n,), at least 0 with sum 1, that minimise w^T gram w; exact.

    gram: (n, n), the scalar products of the vectors v_i. With x = s w the least squares of s |sum w_i v_i|
    and s - 1 over x >= 0 [3] are least where the norm is: their least over s grows with it.
    """
    values, vectors = np.linalg.eigh(gram.double().numpy())
    root = (vectors * np.sqrt(np.maximum(values, 0))).T
    ones = np.ones((1, len(gram)))
    x, _ = nnls(np.concatenate([root, ones]), np.append(np.zeros(len(gram)), 1.0))
    return torch.from_numpy(x / x.sum()).float()
