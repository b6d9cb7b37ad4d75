"""Regularisers have the values of their papers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from hwnas.core.choice import Choice
from hwnas.core.mix import Mix
from hwnas.gradient.parts.controller import Controller
from hwnas.gradient.parts.regularisers import REGULARISERS
from hwnas.gradient.parts.relax import RELAXATIONS, dense
from hwnas.gradient.step.protocols import PolicyView, RelaxContext
from targets.errors import UsageError

PAIR = (Choice("a", ("x", "y")), Choice("b", ("x", "y")))


def view_of(a: list[float], b: list[float]) -> PolicyView:
    weights = tuple(torch.tensor(w) for w in (a, b))
    return PolicyView(drawn=dense(weights), soft=dense(weights), logits=weights, choices=PAIR)


def test_regularisers_have_the_values_of_their_papers() -> None:
    view = view_of([0.8, 0.2], [0.4, 0.6])
    # hard is (1, 0) and (0, 1): mean of 0.04 and 0.16
    assert REGULARISERS["dal"](view).item() == pytest.approx(0.10)
    expected = (math.log(math.exp(0.8) + math.exp(0.2)) + math.log(math.exp(0.4) + math.exp(0.6))) / 2
    assert REGULARISERS["beta_decay"](view).item() == pytest.approx(expected)
    sigma = [1 / (1 + math.exp(-v)) for v in (0.8, 0.2, 0.4, 0.6)]
    assert REGULARISERS["zero_one"](view).item() == pytest.approx(-sum((s - 0.5) ** 2 for s in sigma) / 4)
    assert REGULARISERS["logit_norm"](view).item() == pytest.approx((0.64 + 0.04 + 0.16 + 0.36) / 2)


def test_a_regulariser_of_logits_says_so_to_a_policy_without() -> None:
    with pytest.raises(UsageError, match="'beta_decay' acts on logits, and this policy has none"):
        REGULARISERS["beta_decay"](replace(view_of([0.5, 0.5], [0.5, 0.5]), logits=()))


def test_the_discretisation_loss_is_of_the_mean_mix_whatever_is_drawn() -> None:
    """In the published code MSE(softmax(alpha), hard), also where top-k or hard cells run."""
    view = view_of([0.8, 0.2], [0.4, 0.6])
    hard = Mix.one_hot(PAIR, (1, 0))
    found = float(REGULARISERS["dal"](replace(view, drawn=hard)))
    assert found == pytest.approx((0.04 + 0.16) / 2)


SKIPS = (
    Choice("layer0.op", ("conv", "pool")),
    Choice("layer1.0", ("none", "skip_connect")),
    Choice("layer2.0", ("none", "skip_connect")),
    Choice("layer2.1", ("none", "skip_connect")),
)


def test_the_skip_target_is_a_kl_summed_per_layer_and_averaged_over_layers() -> None:
    """p = 0.7; 0.4 and 0.1, target 0.4: 0.7 ln(7/4) + 0.3 ln(1/2); 0, and 0.1 ln(1/4) + 0.9 ln(3/2)."""
    p = [torch.tensor([1 - on, on], requires_grad=True) for on in (0.5, 0.7, 0.4, 0.1)]
    drawn = Mix.one_hot(SKIPS, (0, 1, 0, 0))
    view = PolicyView(drawn=replace(drawn, draw_probs=tuple(p)), soft=drawn, logits=(), choices=SKIPS)
    found = REGULARISERS["skip_target"](view, target=0.4)
    assert float(found.detach()) == pytest.approx((0.183787 + 0.226289) / 2, abs=1e-5)
    found.backward()
    # d/dp = ln(p / 0.4) - ln((1 - p) / 0.6), halved by the mean over two layers; 0 at the target
    slope = p[1].grad
    assert slope is not None and float(slope[1] - slope[0]) == pytest.approx(
        (0.559616 + 0.693147) / 2, abs=1e-5
    )
    assert p[2].grad is not None and float((p[2].grad[1] - p[2].grad[0]).abs()) < 1e-6
    with pytest.raises(UsageError, match="target must be between 0 and 1, got 1"):
        REGULARISERS["skip_target"](view, target=1.0)


@pytest.mark.slow
def test_a_controller_is_pulled_to_the_skip_target() -> None:
    """Nothing but the term is minimised: the share of skips goes from 1/2 to the target."""
    choices = tuple(
        c
        for n in range(4)
        for c in (
            Choice(f"layer{n}.op", ("a", "b")),
            *(Choice(f"layer{n}.{i}", ("none", "skip_connect")) for i in range(n)),
        )
    )
    policy = Controller(choices, torch.Generator().manual_seed(0), hidden=16, tanh=1.5, op_reduce=1.0)
    adam, relax_context = (
        torch.optim.Adam(policy.parameters(), lr=0.02),
        RelaxContext(choices, torch.Generator().manual_seed(1)),
    )

    def share() -> float:
        flags = [w[1] for w, c in zip(policy.soft_mix().probs, choices, strict=True) if "none" in c.options]
        return float(torch.stack(flags).mean())

    assert share() == pytest.approx(0.5, abs=0.1)
    for _ in range(60):
        drawn = policy.draw(RELAXATIONS["sampled"], relax_context)
        adam.zero_grad()
        REGULARISERS["skip_target"](
            PolicyView(drawn=drawn, soft=drawn, logits=(), choices=choices), target=0.2
        ).backward()
        adam.step()
    assert share() == pytest.approx(0.2, abs=0.08)  # 192 draws, sigma 0.03
