"""The common descent of several devices: the shortest vector of the hull, by closed form and brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from hwnas.gradient.methods import METHODS
from hwnas.gradient.parts.devices_gradient import common_descent, least_norm_weights
from tests.support.step_contexts import toy_step


@pytest.mark.parametrize("seed", range(6))
def test_two_gradients_have_the_closed_form(seed: int) -> None:
    """Sener and Koltun 2018, equation 4: w_1 = clip((g_2 - g_1) . g_2 / |g_1 - g_2|^2, 0, 1)."""
    a, b = torch.randn(2, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    b = b * (1 + 3 * (seed % 2))
    rows = torch.stack([a, b])
    w = float(((b - a) @ b / ((a - b) @ (a - b))).clamp(0, 1))
    assert least_norm_weights(rows @ rows.T).tolist() == pytest.approx([w, 1 - w], abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_three_gradients_are_combined_as_a_grid_of_all_weights_says(seed: int) -> None:
    rows = torch.randn(3, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    grid = [(i / 60, j / 60) for i, j in itertools.product(range(61), repeat=2) if i + j <= 60]
    weights = torch.tensor([(a, b, 1 - a - b) for a, b in grid], dtype=torch.float64)
    least = float(((weights @ rows) ** 2).sum(1).min())
    w = least_norm_weights(rows @ rows.T).double()
    assert float(w.min()) >= 0 and float(w.sum()) == pytest.approx(1)
    assert float(((w @ rows) ** 2).sum()) <= least + 1e-6


def test_no_device_is_made_worse() -> None:
    """Its scalar product with every gradient is at least its square (Desideri 2012)."""
    rows = torch.randn(4, 30, generator=torch.Generator().manual_seed(0))
    rows[1] *= 1e3
    combined = common_descent(rows)
    unit = rows / rows.norm(dim=1, keepdim=True)
    assert float((unit @ combined).min()) >= float(combined @ combined) - 1e-4


def test_opposed_gradients_leave_nothing_to_descend() -> None:
    assert float(common_descent(torch.tensor([[1.0, 2.0], [-2.0, -4.0]])).norm()) == pytest.approx(
        0, abs=1e-5
    )


def test_an_arch_step_leaves_a_gradient_of_at_most_one_and_the_weights_alone() -> None:
    """The longest convex combination of vectors of length 1 is 1 long; one device has exactly that."""
    context = toy_step("modnas")
    context.policy.meet_devices(torch.stack([d.features for d in context.devices]))
    make = torch.Generator().manual_seed(0)
    hypergradient = METHODS["modnas"].make_hypergradient(context.supernet, context.policy, make)
    hypergradient.arch_step(context)
    flat = torch.cat([p.grad.flatten() for p in context.policy.parameters() if p.grad is not None])
    assert float(flat.norm()) == pytest.approx(1, abs=1e-4)
    assert all(p.grad is None for p in context.supernet.parameters())
    assert np.isfinite(flat.numpy()).all()
