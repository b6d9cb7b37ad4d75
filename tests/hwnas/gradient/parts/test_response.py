"""The response hypernetwork against the closed form of a quadratic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from hwnas.core.mix import Mix
from hwnas.core.registry import part
from hwnas.gradient.methods import METHODS
from hwnas.gradient.parts.policy import LogitPolicy
from hwnas.gradient.parts.response import Response, vectors_of
from hwnas.gradient.step.context import StepContext
from hwnas.gradient.step.optim import SGDSettings
from hwnas.gradient.step.protocols import RelaxContext
from tests.support.step_contexts import make_context
from tests.support.toy import toy_costs, toy_space
from tests.support.toy_cell import ToyCellSupernet


class Quadratic(nn.Module):
    """log(1 + e^z) = w'Hw/2 + w'Ba + 20 at training, c'w + d'a + 20 at validation."""

    def __init__(self) -> None:
        super().__init__()
        self.h = torch.tensor([[2.0, 0.3, 0.0], [0.3, 1.0, -0.2], [0.0, -0.2, 1.5]], dtype=torch.float64)
        self.b = torch.tensor([[1.0, 0.0, -0.5], [0.2, 0.7, 0.0], [0.0, -1.0, 0.4]], dtype=torch.float64)
        self.c = torch.tensor([0.4, -0.3, 0.2], dtype=torch.float64)
        self.d = torch.tensor([0.1, 0.0, -0.2], dtype=torch.float64)
        self.w = nn.Parameter(torch.zeros(3, dtype=torch.float64))

    def forward(self, x: Tensor, mix: Mix) -> Tensor:
        a = mix.probs[0]
        training = self.w @ self.h @ self.w / 2 + self.w @ self.b @ a
        validation = self.c @ self.w + self.d @ a
        loss = 20 + (training if x[0, 0] == 0 else validation)
        return torch.stack([torch.zeros(()), torch.log(torch.expm1(loss))])[None]


def quadratic_scene(net: nn.Module) -> tuple[StepContext, Response]:
    row = replace(METHODS["hyperdarts"], hypergradient=part("response", s=0.1, rank=None))
    space, generator = toy_space(1), torch.Generator().manual_seed(0)
    policy = row.make_policy(space.choices, generator)
    assert isinstance(policy, LogitPolicy)
    policy.double()
    made: object = row.make_hypergradient(net, policy, generator)
    assert isinstance(made, Response)

    def batch(kind: float) -> Callable[[], tuple[Tensor, Tensor]]:
        x = torch.full((1, 1), kind, dtype=torch.float64)
        return lambda: (x, torch.zeros(1, dtype=torch.long))

    def identity(logits: Sequence[Tensor], context: RelaxContext) -> Mix:
        return Mix(tuple(a * 1 for a in logits), ((0, 1, 2),), ((),))

    sgd = SGDSettings(lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0, clip=None)
    context = make_context(row, space, net, policy, toy_costs(space), batch(0.0), own=made.own, sgd=sgd)
    places = replace(context.relax, weight=identity, virtual=identity, arch=identity, validation=identity)
    return replace(context, relax=places, val=batch(1.0)), made


@pytest.mark.slow
def test_it_converges_to_the_response_of_a_quadratic() -> None:
    """argmin_w w'Hw/2 + w'Ba is -H^-1 B a: Phi must become -H^-1 B, and the gradient d - (H^-1 B)' c."""
    net = Quadratic()
    context, made = quadratic_scene(net)
    # Ten steps of a cosine, each repeated: the rate ends small enough for the noise of the draws to average.
    for step in range(10):
        for _ in range(60 * (step + 1)):
            made.weight_step(context)
            context.weights.step(context.lr)
    phi = (made.own.up @ made.own.down).detach() / 0.1
    true = -torch.linalg.solve(net.h, net.b)
    assert float((phi - true).norm() / true.norm()) < 0.05
    made.arch_step(context)
    (a,) = context.policy.parameters()
    expected = net.d + true.T @ net.c
    assert a.grad is not None
    assert float((a.grad - expected).norm() / expected.norm()) < 0.05


def test_it_starts_as_first_order() -> None:
    net = Quadratic()
    context, made = quadratic_scene(net)
    made.arch_step(context)
    (a,) = context.policy.parameters()
    torch.testing.assert_close(a.grad, net.d)


def test_the_arch_step_and_the_perturbation_leave_weights_and_policy_as_they_were() -> None:
    net = Quadratic()
    context, made = quadratic_scene(net)
    (a,) = context.policy.parameters()
    w, alpha = net.w.detach().clone(), a.detach().clone()
    made.arch_step(context)
    made.weight_step(context)
    assert torch.equal(net.w, w) and torch.equal(a, alpha)
    assert net.w.grad is not None and made.own.up.grad is not None


def test_what_is_modulated_lies_behind_the_norms() -> None:
    """Scales and shifts, learned or constant; scaling a convolution before a norm would be undone by it."""
    vectors = vectors_of(ToyCellSupernet())
    norms = {f"cells.{c}.edges.{e}.{o}_norm.{t}" for c in (0, 1) for e in range(5)
             for o in ("strong", "weak") for t in ("weight", "bias")}  # fmt: skip
    assert set(vectors) == norms | {"stem.bias", "classify.bias"}


def test_the_default_hypernetwork_is_small() -> None:
    """Section 1.2 of the method: under 0.2 M numbers where the full Jacobian has n_alpha x n_weights."""
    from hwnas.gradient.parts.response import LowRank

    own = LowRank(4000, 224, 8, torch.Generator())
    assert sum(p.numel() for p in own.parameters()) == 4000 * 8 + 8 * 224


@pytest.mark.parametrize("rank", [2, None])
def test_the_transpose_is_the_transpose(rank: int | None) -> None:
    from hwnas.gradient.parts.response import LowRank

    generator = torch.Generator().manual_seed(1)
    own = LowRank(5, 3, rank, generator)
    with torch.no_grad():
        own.up.copy_(torch.randn(own.up.shape, generator=generator))
    u, v = torch.randn(3, generator=generator), torch.randn(5, generator=generator)
    torch.testing.assert_close(v @ own(u), u @ own.transposed(v))
