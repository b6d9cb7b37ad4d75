"""Methods that run one path or a sample: gates, controllers, concrete distributions."""

from __future__ import annotations

import pytest
import torch

from hwnas.core.choice import Choice
from hwnas.gradient.parts.controller import Controller
from hwnas.gradient.parts.hyper_policy import HyperPolicy
from hwnas.gradient.parts.relax import dense
from hwnas.gradient.step.protocols import PolicyView
from tests.support.signatures.claims import ALL, close, concrete, every, is_architecture, runs, temperature
from tests.support.watched import Ran, craft, none_first


def gates(ran: Ran, probed: int) -> None:
    runs(ran, "val", "train")
    is_architecture(ran, "train")
    is_architecture(ran, "epoch")
    for step in ran.steps:
        for call in step.of("val"):
            assert all(len(a) == 1 for a in call.mix.active)
            assert all(len(p) == probed for p in call.mix.probe)


def gates_rest_first(ran: Ran) -> None:
    """A quarter of the steps warms up where the weights are untrained."""
    assert [s.moved for s in ran.steps] == [False, True, True, True]


def proxyless(ran: Ran) -> None:
    gates(ran, 1)
    every(ran, 5)
    gates_rest_first(ran)
    for step in ran.learning:
        mix = step.of("val")[0].mix
        moved = []
        for old, new, a, p in zip(step.logits, step.after, mix.active, mix.probe, strict=True):
            untouched = sorted(set(ALL) - {*a, *p})
            assert close(old.softmax(0)[untouched], new.softmax(0)[untouched])
            moved.append(not close(old.softmax(0)[list(a)], new.softmax(0)[list(a)]))
        assert any(moved)


def proxyless_full(ran: Ran) -> None:
    gates(ran, 3)
    every(ran, 5)
    gates_rest_first(ran)


def sampled(ran: Ran, n: int) -> None:
    """N architectures in forward passes only, then one weight step; the baseline moves by a hundredth."""
    runs(ran, *["forward"] * n, "train")
    is_architecture(ran, "forward")
    is_architecture(ran, "train")
    first, second = ran.learning[:2]
    assert first.arch is not None and second.arch is not None
    b = first.baseline
    assert second.baseline == pytest.approx(0.99 * b + 0.01 * second.mean_reward, abs=1e-4)


def proxyless_rl(ran: Ran) -> None:
    sampled(ran, 10)
    is_architecture(ran, "epoch")
    every(ran, 16)
    gates_rest_first(ran)


def enas(ran: Ran, n: int = 10, intervals: int = 9) -> None:
    sampled(ran, n)
    assert isinstance(ran.policy, Controller)
    every(ran, intervals)
    # ten draws of a policy that always draws skips; the decoder ranks them and never sees the scores
    view = craft(ran.space, drawn="weak")
    assert ran.decode(view) == none_first(ran.space, "weak")


def enas_prior(ran: Ran) -> None:
    enas(ran)
    fresh = ran.method.make_policy(ran.choices, torch.Generator().manual_seed(0))
    share = torch.stack(fresh.soft_mix().probs).mean(0)
    # logits 1.1/2.5 tanh(10) + 0.25 against -0.25: e^(0.44 + 0.5) = 2.56 times as likely
    assert float(share[2] / share[[1, 3]].mean()) > 1.5


def enas_macro(ran: Ran) -> None:
    enas(ran, 20, intervals=7)
    assert isinstance(ran.policy, Controller) and ran.policy.scales == (1.5, 1.5)
    # a skip into a second layer, two into a third, each of p = 1/2: KL 0.5 log(0.5/0.4) + 0.5 log(0.5/0.6)
    skips = tuple(Choice(f"layer{n}.{i}", ("none", "skip_connect")) for n, i in ((1, 0), (2, 0), (2, 1)))
    even = dense((torch.full((2,), 0.5),) * 3)
    (term,) = ran.search.objective.regularisers
    assert term.weight.at(0.5) * float(
        term.term(PolicyView(drawn=even, soft=even, logits=(), choices=skips))
    ) == pytest.approx(0.8 * (0.0204110 + 2 * 0.0204110) / 2, rel=1e-4)


def gdas(ran: Ran) -> None:
    runs(ran, "val", "train")
    temperature(ran, 10.0, 0.1)
    is_architecture(ran, "epoch")
    for step in ran.steps:
        for call in step.calls:
            assert call.mix.arch is not None and not any(call.mix.probe)
    # soft backward: a gradient for options that did not run
    assert any((g != 0).all() for g in ran.learning[0].gradients)


def snas(ran: Ran) -> None:
    runs(ran, "train")
    temperature(ran, 1.0, 0.03)
    concrete(ran, "train")
    is_architecture(ran, "epoch")


def fbnet(ran: Ran) -> None:
    runs(ran, "val", "train")
    temperature(ran, 5.0, 0.1)
    concrete(ran, "val")
    concrete(ran, "train")
    is_architecture(ran, "epoch")
    assert [s.moved for s in ran.steps] == [False, True, True, True]


def modnas(ran: Ran) -> None:
    """One ReinMax pass per device, all other options probed; a hypernetwork learns; else architectures."""
    assert isinstance(ran.policy, HyperPolicy) and len(ran.policy.devices) == len(ran.search.devices)
    runs(ran, *["val"] * len(ran.search.devices), "train")
    is_architecture(ran, "train")
    is_architecture(ran, "epoch")
    for step in ran.learning:
        for call in step.of("val"):
            for p, a, probed in zip(call.mix.probs, call.mix.active, call.mix.probe, strict=True):
                assert len(a) == 1 and set(probed) == set(ALL) - {*a}
                assert float(p.detach()[a[0]]) == 1
        # what is left is a convex combination of vectors of length 1: here of one
        assert float(torch.cat([g.flatten() for g in step.gradients]).norm()) == pytest.approx(1, abs=1e-4)
