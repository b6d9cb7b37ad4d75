"""Relaxations against the closed forms of the papers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.core.choice import Choice
from hwnas.core.mix import Mix
from hwnas.gradient.parts.relax import RELAXATIONS
from hwnas.gradient.step.protocols import RelaxContext
from targets.errors import UsageError

CHOICES = (Choice("a", ("x", "y", "z", "w")), Choice("b", ("x", "y", "z")))
LOGITS = st.lists(st.floats(-3, 3, width=32), min_size=7, max_size=7)


def draw(name: str, values: list[float], seed: int = 0, t: float = 1.0) -> tuple[list[torch.Tensor], Mix]:
    flat = torch.tensor(values, dtype=torch.float64)
    logits = [p.clone().requires_grad_() for p in flat.split([4, 3])]
    return logits, RELAXATIONS[name](logits, RelaxContext(CHOICES, torch.Generator().manual_seed(seed), t))


def closed_form(gate_gradient: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    """ProxylessNAS, equation 4: dL/da_i = sum_j dL/dg_j p_j (delta_ij - p_i), written out."""
    n = len(p)
    rows = [
        sum(float(gate_gradient[j]) * float(p[j]) * (float(i == j) - float(p[i])) for j in range(n))
        for i in range(n)
    ]
    return torch.tensor(rows, dtype=torch.float64)


@given(LOGITS, st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_full_gates_have_the_gradient_of_the_paper(values: list[float], seed: int) -> None:
    logits, mix = draw("binary_full", values, seed)
    gate_gradients = [
        torch.tensor([0.3, -1.2, 2.0, 0.7], dtype=torch.float64),
        torch.tensor([1.0, -0.5, 0.1]),
    ]
    loss = torch.stack([w @ g.to(w) for w, g in zip(mix.probs, gate_gradients, strict=True)]).sum()
    loss.backward()
    for a, g in zip(logits, gate_gradients, strict=True):
        torch.testing.assert_close(a.grad, closed_form(g, a.detach().softmax(0)), rtol=1e-9, atol=1e-12)


@given(LOGITS, st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_two_path_gates_have_that_gradient_over_the_pair_and_none_elsewhere(
    values: list[float], seed: int
) -> None:
    logits, mix = draw("binary_two", values, seed)
    gate_gradient = torch.tensor([0.3, -1.2, 2.0, 0.7], dtype=torch.float64)
    (mix.probs[0] @ gate_gradient).backward()
    pair = sorted([*mix.active[0], *mix.probe[0]])
    expected = torch.zeros(4, dtype=torch.float64)
    expected[pair] = closed_form(gate_gradient[pair], logits[0].detach()[pair].softmax(0))
    torch.testing.assert_close(logits[0].grad, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["binary_full", "binary_two", "sampled", "uniform", "hard"])
def test_one_option_runs_with_weight_exactly_one(name: str) -> None:
    for seed in range(20):
        _, mix = draw(name, [0.3, 2.0, -1.0, 0.1, 0.0, 1.5, 0.7], seed)
        assert mix.arch is not None
        for weights, active in zip(mix.probs, mix.active, strict=True):
            assert weights.tolist() == [float(i == active[0]) for i in range(len(weights))]


@pytest.mark.parametrize(("name", "probed"), [("binary_full", 3), ("binary_two", 1), ("sampled", 0)])
def test_probes_are_other_options_than_the_active_one(name: str, probed: int) -> None:
    _, mix = draw(name, [0.0] * 7)
    assert len(mix.probe[0]) == probed
    assert not set(mix.probe[0]) & set(mix.active[0])


def test_softmax_runs_all_options_and_flattens_with_the_temperature() -> None:
    _, mix = draw("softmax", [0.0, 1.0, 2.0, 3.0, 0.0, 0.0, 0.0], t=1.0)
    _, flat = draw("softmax", [0.0, 1.0, 2.0, 3.0, 0.0, 0.0, 0.0], t=1e6)
    assert mix.active == ((0, 1, 2, 3), (0, 1, 2))
    # e^k / (1 + e + e^2 + e^3), by hand
    assert mix.probs[0].tolist() == pytest.approx([0.0320586, 0.0871443, 0.2368828, 0.6439143], abs=1e-7)
    assert flat.probs[0].tolist() == pytest.approx([0.25] * 4, abs=1e-5)


def test_hard_takes_the_largest_logit() -> None:
    _, mix = draw("hard", [0.0, 1.0, 5.0, 3.0, 2.0, 0.0, 0.0])
    assert mix.arch == (2, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sampled", "binary_full"])
def test_draws_follow_the_softmax(name: str) -> None:
    logits = [torch.tensor([0.0, 1.0, 2.0, 3.0])]
    context = RelaxContext(CHOICES[:1], torch.Generator().manual_seed(3))
    counts = torch.zeros(4)
    for _ in range(4000):
        counts[RELAXATIONS[name](logits, context).active[0][0]] += 1
    # standard deviation of a share is at most 0.008; 4 of them
    assert (counts / 4000).tolist() == pytest.approx(logits[0].softmax(0).tolist(), abs=0.032)


def test_log_probability_is_that_of_the_drawn_architecture() -> None:
    logits, mix = draw("sampled", [0.3, 2.0, -1.0, 0.1, 0.0, 1.5, 0.7])
    assert mix.arch is not None and mix.log_prob is not None
    expected = sum(a.log_softmax(0)[i].item() for a, i in zip(logits, mix.arch, strict=True))
    assert mix.log_prob.item() == pytest.approx(expected)


def test_the_generator_alone_decides_and_its_state_can_be_put_back() -> None:
    values = [0.3, 2.0, -1.0, 0.1, 0.0, 1.5, 0.7]
    logits, first = draw("binary_two", values, 5)
    assert draw("binary_two", values, 5)[1].active == first.active
    context = RelaxContext(CHOICES, torch.Generator().manual_seed(5))
    state = context.generator.get_state()
    drawn = [RELAXATIONS["binary_two"](logits, context).active for _ in range(10)]
    context.generator.set_state(state)
    assert [RELAXATIONS["binary_two"](logits, context).active for _ in range(10)] == drawn


def test_a_collapsed_policy_and_a_choice_without_alternative_still_draw() -> None:
    context = RelaxContext(CHOICES, torch.Generator().manual_seed(0))
    logits = [torch.tensor([500.0, 0.0, 0.0]), torch.tensor([0.0])]
    for name in RELAXATIONS:
        mix = RELAXATIONS[name](logits, context)
        assert name == "uniform" or 0 in mix.active[0]
        assert mix.active[1] == (0,)
        assert mix.probe[1] == ()


def test_an_unknown_relaxation_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown relaxation 'sofmax'; known: .*did you mean 'softmax'"):
        RELAXATIONS["sofmax"]
