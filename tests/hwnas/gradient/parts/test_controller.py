"""The LSTM controller: what it draws is valid, has the probability it says, and can be learned."""

from __future__ import annotations

import math

import pytest
import torch

from hwnas.core.choice import Choice
from hwnas.gradient.parts.controller import Controller, decisions_of
from hwnas.gradient.parts.relax import RELAXATIONS
from hwnas.gradient.step.protocols import RelaxContext
from targets.errors import UsageError
from tests.support.toy_cell import ToyCellSpace

MACRO = tuple(
    c
    for layer in range(3)
    for c in (
        Choice(f"layer{layer}.op", ("conv", "sep_conv_3x3", "pool")),
        *(Choice(f"layer{layer}.{s}", ("none", "skip_connect")) for s in range(layer)),
    )
)


def controller(choices: tuple[Choice, ...], **options: float) -> Controller:
    return Controller(choices, torch.Generator().manual_seed(0), hidden=16, **options)


def context(choices: tuple[Choice, ...], seed: int = 0) -> RelaxContext:
    return RelaxContext(choices, torch.Generator().manual_seed(seed))


def test_the_decisions_of_a_macro_space_are_operations_and_runs_of_flags() -> None:
    assert [(s.choices, s.flags) for s in decisions_of(MACRO)] == [
        ((0,), False),
        ((1,), False),
        ((2,), True),
        ((3,), False),
        ((4, 5), True),
    ]


def test_the_decisions_of_a_cell_space_are_nodes_and_each_cell_begins_anew() -> None:
    steps = list(decisions_of(ToyCellSpace().choices))
    assert [(s.choices, s.keep, s.new_cell) for s in steps] == [
        ((0, 1), 2, True),
        ((2, 3, 4), 2, False),
        ((5, 6), 2, True),
        ((7, 8, 9), 2, False),
    ]


@pytest.mark.parametrize("relax", ["sampled", "hard", "uniform"])
def test_it_draws_valid_architectures(relax: str) -> None:
    space = ToyCellSpace()
    policy = controller(space.choices)
    for seed in range(3):
        mix = policy.draw(RELAXATIONS[relax], context(space.choices, seed))
        assert mix.arch is not None and space.valid(mix.arch)
        assert mix.log_prob is not None and mix.log_prob.requires_grad and float(mix.log_prob.detach()) < 0


def test_a_fresh_controller_is_near_uniform_and_says_so() -> None:
    """Three operations of three, three flags: log p near -3 log 3 - 3 log 2; the entropy is its negative."""
    mix = controller(MACRO).draw(RELAXATIONS["sampled"], context(MACRO))
    expected = 3 * math.log(3) + 3 * math.log(2)
    assert mix.log_prob is not None and mix.entropy is not None
    assert float(mix.log_prob.detach()) == pytest.approx(-expected, rel=0.05)
    assert float(mix.entropy.detach()) == pytest.approx(expected, rel=0.01)


@pytest.mark.slow
def test_it_learns_what_is_rewarded() -> None:
    policy, target = controller(MACRO, tanh=2.5, op_reduce=1.0), 1
    adam, draws = torch.optim.Adam(policy.parameters(), lr=0.02), context(MACRO, 1)
    for _ in range(40):
        mixes = [policy.draw(RELAXATIONS["sampled"], draws) for _ in range(4)]
        rewards = [sum(i == target for i in m.arch or ()) / len(MACRO) for m in mixes]
        mean = sum(rewards) / len(rewards)
        log_probs = [m.log_prob for m in mixes if m.log_prob is not None]
        loss = -torch.stack([p * (r - mean) for p, r in zip(log_probs, rewards, strict=True)]).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
    share = torch.stack([w[target] for w in policy.soft_mix().probs]).mean()
    assert float(share) > 0.6  # 0.42 at the start


def test_the_published_prior_favours_separable_convolutions() -> None:
    """Logits 1.1 / 2.5 tanh(10) + 0.25 against -0.25: e^0.94 = 2.56 times as likely as each other."""
    policy = controller(MACRO, bias=10.0, fixed=0.25)
    mix = policy.draw(RELAXATIONS["hard"], context(MACRO))
    assert mix.arch is not None and [mix.arch[i] for i in (0, 1, 3)] == [1, 1, 1]
    share = torch.stack([policy.soft_mix().probs[i][1] for i in (0, 1, 3)]).mean()
    assert float(share) == pytest.approx(2.56 / 4.56, abs=0.13)  # 96 draws, sigma 0.05


def test_it_draws_only_what_is_left() -> None:
    policy = controller(MACRO)
    policy.restrict(((2,), (0, 2), (0, 1), (1,), (0, 1), (0, 1)))
    for seed in range(5):
        mix = policy.draw(RELAXATIONS["sampled"], context(MACRO, seed))
        assert mix.arch is not None
        assert (mix.arch[0], mix.arch[3]) == (2, 1) and mix.arch[1] in (0, 2)
    policy.restrict(((2,), (0, 2), (1,), (1,), (0,), (1,)))
    drawn = [policy.draw(RELAXATIONS["sampled"], context(MACRO, seed)).arch for seed in range(5)]
    assert {arch and arch[2:] for arch in drawn} == {(1, 1, 0, 1)}


def test_a_mixture_is_refused() -> None:
    with pytest.raises(UsageError, match="relax by 'sampled', 'hard' or 'uniform'"):
        controller(MACRO).draw(RELAXATIONS["softmax"], context(MACRO))
