"""DARTS of both orders, HyperDARTS, P-DARTS and PC-DARTS."""

from __future__ import annotations

import pytest
import torch

from tests.support.signatures.claims import close, decodes_by_weight, is_not_softmax, is_softmax, runs
from tests.support.toy_cell import OPERATIONS
from tests.support.watched import Ran, craft


def darts(ran: Ran) -> None:
    """Every option runs, weighted by its softmax; one validation and one training pass."""
    runs(ran, "val", "train")
    is_softmax(ran, "val")
    is_softmax(ran, "train")
    decodes_by_weight(ran)


def unrolled(ran: Ran, r: float) -> None:
    """Virtual step, validation at w', training at w + eps v and w - eps v; then the step from w."""
    runs(ran, "train", "val", "train", "train", "train")
    for step in ran.learning:
        at = [c.weights for c in step.calls]
        assert not torch.equal(at[1], at[0]) and torch.equal(at[4], at[0])
        assert float((at[2] - at[0]).norm()) == pytest.approx(r, rel=1e-2)
        assert close(at[2] - at[0], at[0] - at[3])


def darts_2(ran: Ran) -> None:
    unrolled(ran, 0.01)
    is_softmax(ran, "val")


def darts_2_exact(ran: Ran) -> None:
    runs(ran, "train", "val", "train")
    for step in ran.learning:
        at = [c.weights for c in step.calls]
        assert not torch.equal(at[1], at[0]) and torch.equal(at[2], at[0])


def reused(ran: Ran, *kinds: str) -> None:
    """The weights of the validation pass are those that the next step begins with."""
    runs(ran, *kinds)
    for step, after in zip(ran.learning, ran.learning[1:], strict=False):
        at = [c.weights for c in step.calls]
        assert not torch.equal(at[1], at[0]) and torch.equal(at[1], after.calls[0].weights)
        assert float((at[2] - at[0]).norm()) == pytest.approx(0.3, rel=1e-2)


def hyperdarts(ran: Ran) -> None:
    """Weights are trained under a perturbed policy, the channels behind the norms answering to it."""
    runs(ran, "val", "train")
    is_softmax(ran, "val")
    is_not_softmax(ran, "train")
    last = ran.learning[-1].of("train")[0]
    assert not close(last.norms, torch.ones_like(last.norms))
    assert close(ran.learning[-1].of("val")[0].norms, torch.ones_like(last.norms))


def p_darts(ran: Ran) -> None:
    first, second, third = (ran.steps[i : i + 4] for i in (0, 4, 8))
    assert [s[0].calls[0].cells for s in (first, second, third)] == [2, 3, 4]
    # ceil(4 x 5/8) and ceil(4 x 3/8) of four options, the least probable gone
    assert [{len(a) for a in s[-1].calls[-1].mix.active} for s in (first, second, third)] == [{4}, {3}, {2}]
    for step in (*second, *third):
        before = first if step in second else second
        for call in step.calls:
            kept = zip(call.mix.active, before[-1].after, before[-1].calls[0].mix.active, strict=True)
            for active, logits, had in kept:
                assert set(active) == set(sorted(had, key=lambda i: -float(logits[i]))[: len(active)])
    # p0 (1 - e/E) while frozen, p0 exp(-5 (e/E - 0.4)) after; p0 = 0, 0.4, 0.7
    for p0, stage in ((0.0, first), (0.4, second), (0.7, third)):
        expected = [p0, p0 * 2 / 3, p0 * 2.718281828 ** (-5 * (2 / 3 - 0.4)), p0 * 2.718281828**-3]
        assert [s.calls[0].wrapping.skip_dropout for s in stage] == pytest.approx(expected)
        assert [s.moved for s in stage] == [False, False, True, True]
        assert all(float(a.abs().max()) < 0.01 for a in stage[0].logits)  # begun anew
    assert ran.decode(craft(ran.space, best="skip_connect")).count(OPERATIONS.index("skip_connect")) == 2 + 4


def pc_darts(ran: Ran) -> None:
    assert all(c.wrapping.partial == 4 for s in ran.steps for c in s.calls)
    assert [s.moved for s in ran.steps] == [False, True, True, True]
    for step in ran.steps:
        for call in step.calls:
            edges = call.mix.edge_weights
            assert edges is not None
            edges = edges.detach()
            # normal.2 has two edges, normal.3 three
            assert [float(edges[:2].sum()), float(edges[2:5].sum())] == pytest.approx([1, 1])
