"""ReinMax is exact where the loss is quadratic in the option, which the straight-through estimator is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hwnas.core.choice import Choice
from hwnas.core.mix import Mix
from hwnas.gradient.parts.relax import RELAXATIONS
from hwnas.gradient.step.protocols import RelaxContext

LOGITS = torch.tensor([0.3, -0.7, 1.1, 0.2], dtype=torch.float64)
Q = torch.randn(4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
B = torch.randn(4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def quadratic(x: Tensor) -> Tensor:
    return x @ Q @ x + B @ x


def exact_gradient(f: Callable[[Tensor], Tensor]) -> Tensor:
    """Of sum_i p_i f(e_i), by the logits."""
    a = LOGITS.clone().requires_grad_()
    losses = torch.stack([f(torch.eye(4, dtype=torch.float64)[i]) for i in range(4)]).detach()
    (gradient,) = torch.autograd.grad(a.softmax(0) @ losses, a)
    return gradient


def mean_gradient(name: str, f: Callable[[Tensor], Tensor], patch: pytest.MonkeyPatch) -> Tensor:
    """Of the estimator, over all draws with their probabilities."""
    total = torch.zeros(4, dtype=torch.float64)
    context = RelaxContext((Choice("a", tuple("wxyz")),), torch.Generator())
    for i, p in enumerate(LOGITS.softmax(0)):
        patch.setattr(torch, "multinomial", lambda *_, chosen=i, **__: torch.tensor([chosen]))
        a = LOGITS.clone().requires_grad_()
        mix: Mix = RELAXATIONS[name]([a], context)
        assert mix.active == ((i,),) and mix.probs[0].detach().tolist() == torch.eye(4)[i].tolist()
        (gradient,) = torch.autograd.grad(f(mix.probs[0]), a)
        total += p * gradient
    return total


def test_the_mean_over_all_draws_is_the_exact_gradient_of_a_quadratic_loss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Liu et al. 2023, theorem 3.1: second-order accurate."""
    exact = exact_gradient(quadratic)
    assert mean_gradient("reinmax", quadratic, monkeypatch).tolist() == pytest.approx(
        exact.tolist(), abs=1e-9
    )
    straight_through = mean_gradient("binary_full", quadratic, monkeypatch)
    assert float((straight_through - exact).abs().max()) > 0.05


def test_of_a_cubic_loss_it_is_nearer_than_straight_through(monkeypatch: pytest.MonkeyPatch) -> None:
    def cubic(x: Tensor) -> Tensor:
        return quadratic(x) + (B @ x) ** 3

    exact = exact_gradient(cubic)
    errors = [
        float((mean_gradient(n, cubic, monkeypatch) - exact).norm()) for n in ("reinmax", "binary_full")
    ]
    assert 0 < errors[0] < 0.6 * errors[1]
