"""DADARTS, whole and switch by switch."""

from __future__ import annotations

from tests.support.signatures.claims import (
    ALL,
    is_architecture,
    is_not_softmax,
    is_softmax,
    regularised_by,
    unrolled_pattern,
)
from tests.support.watched import Ran


def dal(ran: Ran) -> None:
    regularised_by(ran, "dal", lambda progress: 1.0)


def topk(ran: Ran, kind: str) -> None:
    """M times the top-1 of its edge and the top-2 of its node: sharper than softmax, and growing so."""
    is_not_softmax(ran, kind)
    for step in ran.steps:
        for call in step.of(kind):
            assert call.mix.active == (ALL,) * len(ran.choices)
    first, last = ran.steps[0].of(kind)[0], ran.steps[-1].of(kind)[0]
    assert float(first.mix.probs[0].detach().max()) < 0.25 < 1.01 * 0.25
    # T = 200 at the end, logits 0.01 apart: the entries part
    spread = [w.detach().max() / w.detach().min() for w in (first.mix.probs[0], last.mix.probs[0])]
    assert spread[1] > spread[0]


def dadarts(ran: Ran) -> None:
    unrolled_pattern(ran)
    topk(ran, "val")
    is_architecture(ran, "train-last")
    is_architecture(ran, "epoch")
    dal(ran)


def hd_on_weights(ran: Ran) -> None:
    unrolled_pattern(ran)
    is_softmax(ran, "val")
    is_architecture(ran, "train-last")
    is_architecture(ran, "epoch")


def topk_on_alphas(ran: Ran) -> None:
    unrolled_pattern(ran)
    topk(ran, "val")
    is_softmax(ran, "train")


def topk_on_weights(ran: Ran) -> None:
    unrolled_pattern(ran)
    topk(ran, "train-last")
    is_softmax(ran, "val")
    is_not_softmax(ran, "epoch")


def dal_on_alphas(ran: Ran) -> None:
    unrolled_pattern(ran)
    is_softmax(ran, "val")
    dal(ran)
