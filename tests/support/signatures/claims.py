"""What can be claimed of a search that is watched; every signature is made of such claims."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from hwnas.gradient.parts.regularisers import REGULARISERS
from hwnas.gradient.timetable import Timetable
from tests.support.toy_cell import OPERATIONS
from tests.support.watched import Ran, craft, none_first

ALL = tuple(range(len(OPERATIONS)))


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool(torch.allclose(a, b, atol=1e-6))


def is_softmax(ran: Ran, kind: str) -> None:
    for step in ran.steps:
        for call in step.of(kind):
            assert call.mix.active == (ALL,) * len(ran.choices)
            for w, a in zip(call.mix.probs, call.logits, strict=True):
                assert close(w, (a / step.relax_context.t).softmax(0))


def is_not_softmax(ran: Ran, kind: str) -> None:
    for step in ran.steps:
        for call in step.of(kind):
            for w, a in zip(call.mix.probs, call.logits, strict=True):
                assert not close(w, (a / step.relax_context.t).softmax(0))


def is_architecture(ran: Ran, kind: str) -> None:
    """One operation per edge, and as many edges per node as are kept."""
    for step in ran.steps:
        for call in step.of(kind):
            assert call.mix.arch is not None and ran.space.valid(call.mix.arch)
            assert all(float(w[i].detach()) == 1 for w, i in zip(call.mix.probs, call.mix.arch, strict=True))


def runs(ran: Ran, *kinds: str) -> None:
    """What a step in which the policy learns runs, in order."""
    for step in ran.learning:
        assert [c.kind for c in step.calls] == list(kinds)


def every(ran: Ran, n: int) -> None:
    """Weight steps per arch step in a long search."""
    timetable = Timetable(ran.method.stages, 5000, None)
    assert {timetable.every(s) for s in ran.method.stages} == {n}


def temperature(ran: Ran, start: float, end: float) -> None:
    assert [ran.steps[0].relax_context.t, ran.steps[-1].relax_context.t] == pytest.approx([start, end])


def concrete(ran: Ran, kind: str) -> None:
    is_not_softmax(ran, kind)
    for step in ran.steps:
        for call in step.of(kind):
            assert call.mix.active == (ALL,) * len(ran.choices)
            assert all(float(w.detach().sum()) == pytest.approx(1, abs=1e-5) for w in call.mix.probs)


def decodes_by_weight(ran: Ran) -> None:
    assert ran.decode(craft(ran.space)) == none_first(ran.space, "sep_conv")


def regularised_by(ran: Ran, name: str, weight: Callable[[float], float]) -> None:
    some = False
    for step in ran.learning:
        assert step.arch is not None and step.view is not None
        extra = float(step.arch.score.total.detach()) - float(step.arch.forward.loss)
        expected = weight(float(step.relax_context.progress)) * float(REGULARISERS[name](step.view).detach())
        assert extra == pytest.approx(expected, abs=1e-5)
        some = some or abs(extra) > 1e-6
    assert some


def unrolled_pattern(ran: Ran) -> None:
    runs(ran, "train", "val", "train", "train", "train")
