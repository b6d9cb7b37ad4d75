from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.core.choice import Choice
from hwnas.gradient.parts.policy import POLICIES, LogitPolicy, log_probabilities
from hwnas.gradient.parts.relax import RELAXATIONS
from hwnas.gradient.step.protocols import RelaxContext
from targets.errors import UsageError

CHOICES = (Choice("a", ("x", "y", "z", "w")), Choice("b", ("x", "y", "z")))


def logits_policy(values: list[float], *, keep_untouched: bool) -> LogitPolicy:
    policy = LogitPolicy(CHOICES, torch.Generator().manual_seed(0), keep_untouched=keep_untouched).double()
    with torch.no_grad():
        for a, v in zip(policy.logits, torch.tensor(values).split([4, 3]), strict=True):
            a.copy_(v)
    return policy


@given(
    st.lists(st.floats(-3, 3, width=32), min_size=7, max_size=7),
    st.lists(st.floats(-2, 2, width=32), min_size=7, max_size=7),
    st.integers(0, 100),
)
@settings(deadline=None, max_examples=40)
def test_a_two_path_step_leaves_the_other_probabilities_where_they_were(
    values: list[float], moves: list[float], seed: int
) -> None:
    policy = logits_policy(values, keep_untouched=True)
    mix = policy.draw(RELAXATIONS["binary_two"], RelaxContext(CHOICES, torch.Generator().manual_seed(seed)))
    before = [a.softmax(0).detach().clone() for a in policy.logits]
    with torch.no_grad():
        for a, move, active, probe in zip(
            policy.logits, torch.tensor(moves).double().split([4, 3]), mix.active, mix.probe, strict=True
        ):
            pair = [*active, *probe]
            a[pair] += move[pair]
    ratios = [
        (a[i[0]] - a[j[0]]).item() for a, i, j in zip(policy.logits, mix.active, mix.probe, strict=True)
    ]
    policy.after_step(mix)
    for a, old, active, probe, ratio in zip(
        policy.logits, before, mix.active, mix.probe, ratios, strict=True
    ):
        new = a.softmax(0).detach()
        others = [i for i in range(len(a)) if i not in (*active, *probe)]
        torch.testing.assert_close(new[others], old[others], rtol=1e-9, atol=1e-12)
        # what the step decided between the two is kept
        assert math.log(float(new[active[0]] / new[probe[0]])) == pytest.approx(ratio, abs=1e-9)


def test_without_the_switch_a_step_is_left_as_the_optimiser_made_it() -> None:
    policy = logits_policy([0.0] * 7, keep_untouched=False)
    mix = policy.draw(RELAXATIONS["binary_two"], RelaxContext(CHOICES, torch.Generator().manual_seed(0)))
    with torch.no_grad():
        policy.logits[0] += 1.0
    policy.after_step(mix)
    assert policy.logits[0].tolist() == [1.0] * 4


def test_soft_mix_is_the_softmax_with_the_joint_entropy() -> None:
    mix = logits_policy([0.0] * 7, keep_untouched=False).soft_mix()
    assert mix.probs[0].tolist() == pytest.approx([0.25] * 4)
    assert mix.entropy is not None
    assert mix.entropy.item() == pytest.approx(math.log(4) + math.log(3))


def test_a_fresh_policy_is_near_uniform_and_given_by_its_generator() -> None:
    policies = [LogitPolicy(CHOICES, torch.Generator().manual_seed(4)) for _ in range(2)]
    assert torch.equal(torch.cat(list(policies[0].logits)), torch.cat(list(policies[1].logits)))
    assert 0 < float(torch.cat(list(policies[0].logits)).detach().abs().max()) < 0.01


def test_log_probabilities_are_normalised_and_finite_even_when_collapsed() -> None:
    collapsed = logits_policy([2000.0, 0, 0, 0, 0, 0, 0], keep_untouched=False)
    for p in log_probabilities(collapsed.soft_mix()):
        assert np.isfinite(p).all()
        assert np.exp(p).sum() == pytest.approx(1)


def test_an_unknown_policy_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown policy 'logit'; known: .*'logits'"):
        POLICIES["logit"]
