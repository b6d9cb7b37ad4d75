"""Nodes of a cell: the differentiable top-k, what is kept, what it costs; against brute force."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.core.choice import Choice
from hwnas.core.mix import Mix
from hwnas.core.space import Space
from hwnas.gradient.methods import METHODS
from hwnas.gradient.nodes import ABSENT, deployed, none_of, strongest, top_k
from hwnas.gradient.parts.relax import RELAXATIONS, RelaxContext, dense
from hwnas.gradient.restrict import everything, narrow, shrink, widen, within
from hwnas.gradient.stage import Stage
from hwnas.gradient.supernets import require_fit
from hwnas.gradient.units import best, log_prob, most_probable, sample, scores_of, units_of
from hwnas.spaces import load_space
from targets.errors import UsageError
from tests.support.toy_cell import OPERATIONS, ToyCellSpace, cell_costs

VALUES = st.lists(st.floats(-2, 2), min_size=5, max_size=5)
NODE = tuple(Choice(f"normal.{s}-3", OPERATIONS, "normal.3", 2) for s in range(3))


@given(VALUES, st.integers(1, 4), st.floats(1, 200))
@settings(deadline=None, max_examples=60)
def test_top_k_sums_to_k_at_every_temperature(values: list[float], k: int, t: float) -> None:
    p = top_k(torch.tensor(values, dtype=torch.float64), k, t)
    assert float(p.sum()) == pytest.approx(k, abs=1e-6)
    assert bool(((p >= 0) & (p <= 1)).all())


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
    assert strongest(weights, None, NODE) == (0, 2, 1)
    # edge weights turn it round: 0.05 x 0.8 against 0.6 x 0.05 and 0.3 x 0.15
    assert strongest(weights, torch.tensor([0.8, 0.05, 0.15]), NODE) == (1, 0, 1)


def test_expected_costs_count_as_many_edges_as_are_kept() -> None:
    """A uniform mix keeps each of three edges with probability 2/3, its operation one of three."""
    mix = deployed(dense(tuple(torch.full((4,), 0.25) for _ in NODE)), NODE)
    for w in mix.probs:
        assert w.tolist() == pytest.approx([1 / 3, 2 / 9, 2 / 9, 2 / 9], abs=1e-6)


def test_expected_costs_of_an_architecture_are_exact() -> None:
    space = ToyCellSpace()
    costs = cell_costs(space)
    for seed in range(5):
        arch = space.sample(np.random.default_rng(seed))
        found = costs.expected(deployed(Mix.one_hot(space.choices, arch), space.choices))
        assert float(found["latency_ms"]) == pytest.approx(float(costs.of([arch])["latency_ms"][0]), rel=1e-6)


def test_a_policy_that_is_nearly_decided_costs_what_its_architecture_costs() -> None:
    space = ToyCellSpace()
    costs, arch = cell_costs(space), space.sample(np.random.default_rng(1))
    weights = tuple(0.9999999 * w + 0.0000001 / 4 for w in Mix.one_hot(space.choices, arch).probs)
    found = costs.expected(deployed(dense(weights), space.choices))["latency_ms"]
    assert float(found) == pytest.approx(float(costs.of([arch])["latency_ms"][0]), rel=0.02)


def node_archs() -> list[tuple[int, ...]]:
    """By counting: exactly two of three edges are not none."""
    return [a for a in itertools.product(range(4), repeat=3) if sum(i != 0 for i in a) == 2]


@given(st.lists(st.floats(-4, -0.01), min_size=12, max_size=12))
@settings(deadline=None, max_examples=30)
def test_the_walk_over_a_node_is_that_of_brute_force(values: list[float]) -> None:
    log_probs = list(np.array(values).reshape(3, 4))
    scores = scores_of(log_probs, NODE)
    units = units_of(scores, NODE)
    walked = list(most_probable(units))
    assert sorted(walked) == sorted(node_archs())
    found = [log_prob(scores, a) for a in walked]
    assert all(a >= b - 1e-9 for a, b in itertools.pairwise(found))
    assert walked[0] == best(units)
    weights = [torch.from_numpy(np.exp(p)) for p in log_probs]
    assert log_prob(scores, strongest(weights, None, NODE)) == pytest.approx(found[0])


def test_samples_are_architectures_in_proportion_to_their_probability() -> None:
    scores = scores_of([np.log([0.1, 0.2, 0.3, 0.4])] * 3, NODE)
    drawn = sample(units_of(scores, NODE), 4000, np.random.default_rng(0))
    assert set(drawn) == set(node_archs())
    # 0.4 x 0.4 of a total of 3 x 0.9^2; standard deviation 0.004
    assert drawn.count((3, 3, 0)) / 4000 == pytest.approx(0.16 / 2.43, abs=0.017)


@pytest.mark.parametrize("name", ["sampled", "uniform", "hard"])
def test_single_paths_through_a_node_are_architectures(name: str) -> None:
    logits = [torch.tensor([2.0, 0.0, 0.1, 0.2], requires_grad=True) for _ in NODE]
    relax_context = RelaxContext(NODE, torch.Generator().manual_seed(0))
    for _ in range(20):
        mix = RELAXATIONS[name](logits, relax_context)
        assert mix.arch in node_archs()


def test_draws_from_a_node_have_the_probability_they_say() -> None:
    """Frequencies of ordered draws are not visible; log_prob must match them in expectation of its score.

    The score function has mean zero: E[d log p] = 0, checked by 4,000 draws.
    """
    logits = [torch.tensor([0.3, 1.0, -0.5, 0.2], dtype=torch.float64, requires_grad=True) for _ in NODE]
    relax_context = RelaxContext(
        NODE, torch.Generator().manual_seed(0), edge_weights=torch.tensor([0.5, 0.3, 0.2])
    )
    total = torch.stack([RELAXATIONS["sampled"](logits, relax_context).log_prob for _ in range(2000)]).mean()
    for g in torch.autograd.grad(total, logits):
        assert float(g.abs().max()) < 0.06


def test_shrinking_keeps_the_best_and_never_none_alone() -> None:
    choices = (*NODE[:1], Choice("free", ("a", "b", "c")))
    scores = [np.log([0.9, 0.05, 0.03, 0.02]), np.log([0.2, 0.5, 0.3])]
    kept = shrink(everything(choices), scores, choices, 0.5)
    assert kept == ((0, 1), (1, 2))
    assert shrink(kept, scores, choices, 0.25) == ((1,), (1,))


def test_a_narrow_mix_is_widened_with_none_where_the_edge_is_dropped() -> None:
    kept = ((1, 2), (1, 3), (2, 3))
    left = narrow(NODE, kept)
    assert none_of(left[0]) == ABSENT
    relax_context = RelaxContext(left, torch.Generator().manual_seed(0))
    logits = [torch.tensor([0.0, 1.0], requires_grad=True) for _ in NODE]
    for _ in range(10):
        mix = widen(RELAXATIONS["sampled"](logits, relax_context), NODE, kept)
        assert mix.arch in node_archs()
        for w, i, left_here in zip(mix.probs, mix.arch or (), kept, strict=True):
            assert float(w[i]) == 1 and (i == 0 or i in left_here)
    soft = widen(RELAXATIONS["softmax"](logits, relax_context), NODE, kept)
    assert soft.active == kept
    assert soft.probs[0].tolist() == pytest.approx([0, 0.268941, 0.731059, 0], abs=1e-6)
    soft.probs[0][2].backward()
    assert logits[0].grad is not None


def names(space: Space, limits: tuple[tuple[str, int], ...]) -> dict[str, set[str]]:
    kept = within(space, limits, "test")
    return {c.name: {c.options[i] for i in left} for c, left in zip(space.choices, kept, strict=True)}


def test_progressive_shrinking_leaves_the_sizes_of_once_for_all() -> None:
    """Kernel 7, 5, 3 first, then depths 4, 3, 2, then expansions 6, 3; layers without a choice stay."""
    space = load_space("proxyless", image_size=224, in_channels=3, n_classes=10)
    largest = names(space, ())
    assert {o for name, left in largest.items() for o in left if "." in name} == {"mb7e6", "mb3e1"}
    kernel = names(space, (("kernel", 1),))
    assert kernel["stage2.0"] == kernel["stage2.3"] == {"mb5e6", "mb7e6"}
    depth = names(space, (("kernel", 2), ("depth", 1)))
    assert ["skip" in depth[f"stage2.{i}"] for i in range(4)] == [False, False, False, True]
    depth = names(space, (("kernel", 2), ("depth", 2)))
    assert ["skip" in depth[f"stage2.{i}"] for i in range(4)] == [False, False, True, True]
    assert names(space, (("kernel", 2), ("expand", 1)))["stage3.0"] == set(space.operations) - {
        "mb3e1",
        "skip",
    }


def test_operations_that_differ_in_kind_are_no_smaller_than_one_another() -> None:
    space = load_space("mobile", image_size=32, in_channels=3, n_classes=10)
    left = names(space, ())
    assert left["stage2.0"] == {"mb7e6", "mb7e6-se-hs", "mb3e6-se", "mb3e6-hs", "fused3e3", "fused3e6-hs"}
    assert left["stage2"] == {max(space.choices[space.stages[1].width_choice].options, key=int)}


def test_where_nothing_has_every_largest_size_the_nearest_is_left() -> None:
    class Odd(Space):
        def smaller_by(self, choice: int, option: int) -> dict[str, int]:
            return [{"kernel": 1}, {"expand": 1}, {"kernel": 1, "expand": 1}][option]

    space = Odd("odd", [Choice("a", ("x", "y", "z"))])
    assert within(space, (), "test") == ((0, 1),)
    assert within(space, (("kernel", 1),), "test") == ((0,),)
    assert within(space, None, "test") == ((0, 1, 2),)


def test_a_space_without_sizes_says_so() -> None:
    space = load_space("nasbench201", image_size=32, in_channels=3, n_classes=10)
    with pytest.raises(UsageError, match=r"stage kernel: space nasbench201 has no kernel that could shrink"):
        require_fit(space, METHODS["ofa"])
    sorts = replace(METHODS["darts"], stages=(Stage("a"), Stage("b", start="sorted")))
    with pytest.raises(UsageError, match=r"stage b: space nasbench201 has no expand that could shrink"):
        require_fit(space, sorts)
    mobile = load_space("mobile", image_size=32, in_channels=3, n_classes=10)
    require_fit(mobile, METHODS["ofa"])
    with pytest.raises(UsageError, match=r"no kernl that could shrink; .*did you mean 'kernel'"):
        within(mobile, (("kernl", 1),), "test")


def test_edges_are_normalised_where_every_edge_is_free_too() -> None:
    """PC-DARTS, section 3.3, in nasbench201: softmax over the one, two and three edges that enter a node."""
    choices = load_space("nasbench201", image_size=32, in_channels=3, n_classes=10).choices
    policy = METHODS["pc-darts"].make_policy(choices, torch.Generator().manual_seed(0))
    mix = policy.draw(RELAXATIONS["softmax"], RelaxContext(choices, torch.Generator().manual_seed(0)))
    assert mix.edge_weights is not None
    edges = mix.edge_weights.detach()
    sums = [float(edges[a:b].sum()) for a, b in ((0, 1), (1, 3), (3, 6))]
    assert sums == pytest.approx([1, 1, 1]) and float(edges[1]) == pytest.approx(0.5, abs=0.01)
