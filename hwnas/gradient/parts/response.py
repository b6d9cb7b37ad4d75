"""The response hypergradient: a small hypernetwork learns how the best weights depend on the policy.

[1] MacKay et al. 2019, Self-Tuning Networks, 1903.03088. [2] Bae and Grosse 2020, Delta-STN, 2010.13514:
the centred, low-rank form used here. HyperDARTS: a hypernetwork in the place of unrolling.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hwnas.core.mix import Mix
from hwnas.gradient.step.context import ArchPass, StepContext
from hwnas.gradient.step.gradients import (
    add_scaled,
    arch_pass,
    frozen_weights,
    require_gradient,
    set_policy_gradients,
    temporary_values,
    training_loss,
)
from hwnas.gradient.step.passes import Pass
from hwnas.gradient.step.protocols import Policy

from .hypergradient import HYPERGRADIENTS


class LowRank(nn.Module):
    """s times the response Jacobian Phi, (n_channels, n_alpha), as up @ down; 0 at the start.

    The factor s keeps its gradient from shrinking with the size s of the perturbation. rank None: one full
    matrix.
    """

    def __init__(self, n_channels: int, n_alpha: int, rank: int | None, generator: torch.Generator) -> None:
        super().__init__()
        rank = n_alpha if rank is None else min(rank, n_alpha)
        down = torch.randn(rank, n_alpha, generator=generator, device=generator.device) / math.sqrt(n_alpha)
        self.down = nn.Parameter(torch.eye(n_alpha) if rank == n_alpha else down)
        self.up = nn.Parameter(torch.zeros(n_channels, rank))

    def forward(self, u: Tensor) -> Tensor:
        """U: (n_alpha,), standard normal; returns the change of the channels (n_channels,)."""
        return self.up @ (self.down @ u)

    def transposed(self, v: Tensor) -> Tensor:
        """V: (n_channels,); returns (n_alpha,)."""
        return self.down.T @ (self.up.T @ v)


@HYPERGRADIENTS.add("response")
class Response:
    """w_hat(a) = w + Phi (a - alpha) for the scale and shift of every channel, learned beside w [2].

        weight step:  delta ~ N(0, s^2); min over w and Phi of L_train(w + Phi delta, alpha + delta)
        arch step:    g = d_alpha + Phi^T grad_w L_val: one pass

    alpha: the parameters of the policy. w_hat: the vectors of the supernet (`vectors_of`), which are the
    scales and shifts behind its norms, constants where those are not learned. A norm without affine
    parameters would undo a scale of the convolution before it.

    s: size of the perturbation.
    rank: of Phi; None for a full matrix.
    """

    def __init__(
        self,
        supernet: nn.Module,
        policy: Policy,
        generator: torch.Generator,
        *,
        s: float = 0.1,
        rank: int | None = 8,
    ) -> None:
        self.s = s
        self._names = {name: len(v) for name, v in vectors_of(supernet).items()}
        n_alpha = sum(p.numel() for p in policy.parameters())
        like = next(supernet.parameters())
        self.own = LowRank(sum(self._names.values()), n_alpha, rank, generator).to(like)

    @staticmethod
    def passes(*, s: float = 0.1, rank: int | None = 8) -> float:
        """One, on a validation batch."""
        return 1.0

    @staticmethod
    def takes_rule(**_: object) -> bool:
        """No: its own weight step is one perturbed pass, which trains the weights and the response."""
        return False

    def arch_step(self, context: StepContext) -> ArchPass:
        """One pass, differentiated by the policy and by the channels."""
        vectors = vectors_of(context.supernet)
        channels = {name: vectors[name].detach().clone().requires_grad_() for name in self._names}
        drawn = context.draw(context.relax.arch)
        with frozen_weights(context.supernet):
            step = arch_pass(context, drawn, context.val(), channels)
        require_gradient(context, step.score.total)
        parameters = list(context.policy.parameters())
        inputs = [*parameters, *channels.values()]
        by_both = torch.autograd.grad(step.score.total, inputs, allow_unused=True)
        direct, by_channel = by_both[: len(parameters)], by_both[len(parameters) :]
        with torch.no_grad():
            v = torch.cat(
                [
                    torch.zeros_like(c) if g is None else g
                    for c, g in zip(channels.values(), by_channel, strict=True)
                ]
            )
            indirect = torch.split(self.own.transposed(v) / self.s, [p.numel() for p in parameters])
        set_policy_gradients(
            context,
            [
                add_scaled(d, a.reshape(p.shape).to(p))
                for d, a, p in zip(direct, indirect, parameters, strict=True)
            ],
        )
        return step

    def weight_step(self, context: StepContext) -> Pass:
        """One perturbed pass trains the weights and the response."""
        parameters = list(context.policy.parameters())
        generator, n_alpha = context.relax_context.generator, sum(p.numel() for p in parameters)
        u = torch.randn(n_alpha, generator=generator, device=generator.device)
        shifts = torch.split(self.s * u, [p.numel() for p in parameters])
        shifted = [p.data + d.reshape(p.shape).to(p) for p, d in zip(parameters, shifts, strict=True)]
        with temporary_values(parameters, shifted):
            drawn = _draw(context)
        loss, forward = training_loss(context, drawn, context.train(), self._modulated(context.supernet, u))
        loss.backward()  # type: ignore[no-untyped-call]  # torch annotates no argument of it
        return forward

    def _modulated(self, supernet: nn.Module, u: Tensor) -> Mapping[str, Tensor]:
        vectors = vectors_of(supernet)
        changes = torch.split(self.own(u.to(self.own.up)), list(self._names.values()))
        return {name: vectors[name] + d for name, d in zip(self._names, changes, strict=True)}


def vectors_of(supernet: nn.Module) -> dict[str, Tensor]:
    """The one-dimensional tensors of a supernet, learned or constant: one number per channel."""
    named = [*supernet.named_parameters(), *supernet.named_buffers()]
    return {
        name: t
        for name, t in named
        if t.ndim == 1 and t.is_floating_point() and not name.rsplit(".", 1)[-1].startswith("running_")
    }


@torch.no_grad()
def _draw(context: StepContext) -> Mix:
    return context.draw(context.relax.weight)
