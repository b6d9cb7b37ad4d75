"""DARTS with another relaxation, regulariser, perturbation or decoder."""

from __future__ import annotations

import pytest
import torch

from tests.support.signatures.claims import (
    close,
    is_not_softmax,
    is_softmax,
    regularised_by,
    runs,
    unrolled_pattern,
)
from tests.support.watched import Ran, hurtful_decoding


def drnas(ran: Ran) -> None:
    runs(ran, "val", "train")
    is_not_softmax(ran, "val")
    is_not_softmax(ran, "train")
    is_not_softmax(ran, "epoch")
    assert [s.calls[0].wrapping.partial for s in ran.steps] == [6] * 4 + [4] * 4
    assert [{len(a) for a in s.calls[0].mix.active} for s in ran.steps] == [{4}] * 4 + [{2}] * 4
    assert [s.moved for s in ran.steps] == [False, False, True, True] * 2
    assert all(torch.equal(a, b) for a, b in zip(ran.steps[3].after, ran.steps[4].logits, strict=True))
    assert torch.equal(ran.steps[4].calls[0].classify, ran.classify_after[3])
    regularised_by(ran, "logit_norm", lambda progress: 1e-3)
    logits = ran.policy.free_logits()[0].detach()
    beta = torch.nn.functional.elu(logits) + 1
    soft = ran.policy.soft_mix().probs[0].detach()
    assert close(soft[soft > 0], beta / beta.sum())


def fair_darts(ran: Ran) -> None:
    runs(ran, "val", "train")
    for step in ran.steps:
        for call in (*step.calls, *step.epoch):
            for w, a in zip(call.mix.probs, call.logits, strict=True):
                assert close(w, a.sigmoid())
    regularised_by(ran, "zero_one", lambda progress: 10.0)
    assert close(ran.policy.soft_mix().probs[0], ran.policy.free_logits()[0].sigmoid())


def darts_minus(ran: Ran) -> None:
    assert [s.calls[0].wrapping.aux_skip for s in ran.steps] == pytest.approx([1, 2 / 3, 1 / 3, 0])
    is_softmax(ran, "val")


def beta_darts(ran: Ran) -> None:
    regularised_by(ran, "beta_decay", lambda progress: 50 * progress)
    is_softmax(ran, "val")


def off_softmax(ran: Ran, step: int) -> float:
    """How far the mix that trains the weights is from the softmax, in its farthest entry."""
    (call,) = ran.steps[step].of("train-last")
    return max(
        float((w - a.softmax(0)).abs().max()) for w, a in zip(call.mix.probs, call.logits, strict=True)
    )


def smooth_rs(ran: Ran) -> None:
    """Noise from 0.03 at the first step to 0.3 at the last; 0.08: after the normalisation of four options."""
    runs(ran, "val", "train")
    is_softmax(ran, "val")
    is_not_softmax(ran, "train")
    assert off_softmax(ran, 0) < 0.08 and off_softmax(ran, -1) > 0.1


def smooth_adv(ran: Ran) -> None:
    runs(ran, "val", *["train"] * 8)
    for step in ran.steps:
        losses = [c.loss for c in step.of("train")]
        assert losses[-1] > losses[0]
    is_not_softmax(ran, "train-last")
    assert off_softmax(ran, 0) < 0.08 and off_softmax(ran, -1) > 0.1


def oles(ran: Ran) -> None:
    runs(ran, "val", "train", "val")
    (callback,) = ran.callbacks
    cosines = callback.state["cosines"]
    assert {len(c) for c in cosines.values()} == {4}
    assert all(-1.001 <= x <= 1.001 for c in cosines.values() for x in c)


def darts_pt(ran: Ran) -> None:
    runs(ran, "val", "train")
    space = ran.space
    view, hurtful = hurtful_decoding(space)
    assert ran.decode(view) == hurtful


def robust_darts(ran: Ran) -> None:
    unrolled_pattern(ran)
    (callback,) = ran.callbacks
    assert len(callback.state["eigenvalues"]) == 2  # one per epoch
