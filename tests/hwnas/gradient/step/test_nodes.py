"""Nodes of a cell: the differentiable top-k, what is kept, what it costs; against brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.core.mix import Mix
from hwnas.gradient.methods import METHODS
from hwnas.gradient.parts.relax import RELAXATIONS, dense
from hwnas.gradient.step.nodes import discretise, top_k, with_kept_edges
from hwnas.gradient.step.protocols import RelaxContext
from hwnas.spaces import load_space
from tests.support.toy_cell import NODE, ToyCellSpace, cell_costs

VALUES = st.lists(st.floats(-2, 2), min_size=5, max_size=5)


@given(VALUES, st.integers(1, 4), st.floats(1, 200))
@settings(deadline=None, max_examples=60)
def test_top_k_sums_to_k_at_every_temperature(values: list[float], k: int, t: float) -> None:
    p = top_k(torch.tensor(values, dtype=torch.float64), k, t)
    assert float(p.sum()) == pytest.approx(k, abs=1e-6)
    assert bool(((p >= 0) & (p <= 1)).all())


@pytest.mark.slow
@given(VALUES, st.integers(1, 4), st.sampled_from([1.0, 7.0, 30.0]))
@settings(deadline=None, max_examples=40)
def test_the_gradient_of_top_k_is_that_of_finite_differences(values: list[float], k: int, t: float) -> None:
    """DADARTS's own code leaves out the factor t."""
    x = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    direction = torch.tensor([0.3, -1.0, 0.5, 0.2, 0.7], dtype=torch.float64)
    (g,) = torch.autograd.grad(top_k(x, k, t) @ direction, x)
    step = 1e-6
    for i in range(5):
        e = torch.zeros(5, dtype=torch.float64)
        e[i] = step
        up, down = (float(top_k(x.detach() + s * e, k, t) @ direction) for s in (1, -1))
        assert float(g[i]) == pytest.approx((up - down) / (2 * step), abs=1e-4 * t)


def test_top_k_of_all_is_one_for_each() -> None:
    assert top_k(torch.tensor([0.1, 0.2]), 2, 5.0).tolist() == [1.0, 1.0]


def test_the_architecture_of_a_mix_keeps_the_edges_with_the_heaviest_options_and_no_none() -> None:
    weights = [
        torch.tensor([0.9, 0.05, 0.03, 0.02]),  # none is heaviest, yet the edge is worth 0.05
        torch.tensor([0.1, 0.2, 0.6, 0.1]),
        torch.tensor([0.1, 0.3, 0.3, 0.3]),
    ]
    assert discretise(weights, None, NODE) == (0, 2, 1)
    # edge weights turn it round: 0.05 x 0.8 against 0.6 x 0.05 and 0.3 x 0.15
    assert discretise(weights, torch.tensor([0.8, 0.05, 0.15]), NODE) == (1, 0, 1)


def test_expected_costs_count_as_many_edges_as_are_kept() -> None:
    """A uniform mix keeps each of three edges with probability 2/3, its operation one of three."""
    mix = with_kept_edges(dense(tuple(torch.full((4,), 0.25) for _ in NODE)), NODE)
    for w in mix.probs:
        assert w.tolist() == pytest.approx([1 / 3, 2 / 9, 2 / 9, 2 / 9], abs=1e-6)


def test_expected_costs_of_an_architecture_are_exact() -> None:
    space = ToyCellSpace()
    costs = cell_costs(space)
    for seed in range(5):
        arch = space.sample(np.random.default_rng(seed))
        found = costs.expected(with_kept_edges(Mix.one_hot(space.choices, arch), space.choices))
        assert float(found["latency_ms"]) == pytest.approx(float(costs.of([arch])["latency_ms"][0]), rel=1e-6)


def test_a_policy_that_is_nearly_decided_costs_what_its_architecture_costs() -> None:
    space = ToyCellSpace()
    costs, arch = cell_costs(space), space.sample(np.random.default_rng(1))
    weights = tuple(0.9999999 * w + 0.0000001 / 4 for w in Mix.one_hot(space.choices, arch).probs)
    found = costs.expected(with_kept_edges(dense(weights), space.choices))["latency_ms"]
    assert float(found) == pytest.approx(float(costs.of([arch])["latency_ms"][0]), rel=0.02)


def test_edges_are_normalised_where_every_edge_is_free_too() -> None:
    """PC-DARTS, section 3.3, in nasbench201: softmax over the one, two and three edges that enter a node."""
    choices = load_space("nasbench201", image_size=32, in_channels=3, n_classes=10).choices
    policy = METHODS["pc-darts"].make_policy(choices, torch.Generator().manual_seed(0))
    mix = policy.draw(RELAXATIONS["softmax"], RelaxContext(choices, torch.Generator().manual_seed(0)))
    assert mix.edge_weights is not None
    edges = mix.edge_weights.detach()
    sums = [float(edges[a:b].sum()) for a, b in ((0, 1), (1, 3), (3, 6))]
    assert sums == pytest.approx([1, 1, 1]) and float(edges[1]) == pytest.approx(0.5, abs=0.01)
