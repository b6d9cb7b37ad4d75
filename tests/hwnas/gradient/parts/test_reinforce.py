"""REINFORCE: the baseline, the gradient of the expected reward by brute force, regularisers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from hwnas.core.budget import Budget
from hwnas.core.mix import Mix
from hwnas.core.registry import part
from hwnas.gradient.method import TermSpec
from hwnas.gradient.methods import METHODS
from hwnas.gradient.parts.objective import make_objective
from hwnas.gradient.parts.reinforce import Baseline, Reinforce
from hwnas.gradient.step.protocols import PolicyView
from targets.errors import UsageError
from tests.support.step_contexts import toy_step
from tests.support.toy import all_archs, toy_costs, toy_space


def test_the_baseline_decays_as_named() -> None:
    """ProxylessNAS's line is b += 0.99 (x - b), which makes b the last batch's mean."""
    b = Baseline(0.99)
    for x in (1.0, 0.0, 0.0):
        b.update(x)
    assert b.value.item() == pytest.approx(0.99**2)


@pytest.mark.slow
def test_reinforce_is_the_gradient_of_the_expected_reward() -> None:
    """d/da sum_a p(a) R(a) by enumeration of 9 architectures, against the mean of 3,000 samples."""
    context = toy_step("proxyless-rl", (Budget("latency_ms", 4.0),), n=2)
    space, policy = toy_space(2), context.policy
    x, y = context.val()
    rewards, log_probs = [], []
    logits = list(policy.parameters())
    for arch in all_archs(space):
        mix = Mix.one_hot(space.choices, arch)
        right = float((context.supernet(x, mix).argmax(1) == y).float().mean())
        view = PolicyView(drawn=mix, soft=mix, logits=(), choices=space.choices)
        rewards.append(-float(context.objective(torch.tensor(-right), view).total))
        log_probs.append(torch.stack([a.log_softmax(0)[i] for a, i in zip(logits, arch, strict=True)]).sum())
    expected = torch.autograd.grad(
        -torch.stack([p.exp() * r for p, r in zip(log_probs, rewards, strict=True)]).sum(),
        logits,
    )
    made = Reinforce(context.supernet, policy, torch.Generator(), samples=3000, decay=0.0)
    made.own.update(float(np.mean(rewards)))
    made.arch_step(context)
    for a, g in zip(policy.parameters(), expected, strict=True):
        assert a.grad is not None
        torch.testing.assert_close(a.grad, g, atol=0.03, rtol=0)


def test_reinforce_refuses_draws_without_a_probability() -> None:
    context = toy_step("darts")
    made = Reinforce(context.supernet, context.policy, torch.Generator())
    with pytest.raises(UsageError, match="REINFORCE needs draws with a probability; relax by 'sampled'"):
        made.arch_step(context)
    with pytest.raises(UsageError, match="unknown reward 'acuracy'; known: accuracy, loss"):
        Reinforce(context.supernet, context.policy, torch.Generator(), reward="acuracy")


def test_reinforce_hands_regularisers_to_the_policy_as_they_are() -> None:
    """With no reward to learn from (one sample equals its baseline) what is left is their gradient."""
    context = toy_step("proxyless-rl")
    row = replace(METHODS["proxyless-rl"], regularisers=(TermSpec(part("beta_decay"), (3.0, 3.0)),))
    context = replace(
        context, objective=make_objective(toy_costs(toy_space()), [], row.objective, row.make_regularisers())
    )
    made = Reinforce(context.supernet, context.policy, torch.Generator(), samples=1, decay=0.99)
    out = made.arch_step(context)
    for a in context.policy.parameters():
        assert a.grad is not None  # d logsumexp / da = softmax, mean over three choices
        torch.testing.assert_close(a.grad, 3.0 * a.detach().softmax(0) / 3)
    assert float(out.score.regularisers) == pytest.approx(3.0 * math.log(3), rel=1e-2)
