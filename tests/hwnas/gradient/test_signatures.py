"""Each row of the table of methods has its signature, and loses it with a part of plain DARTS."""

from __future__ import annotations

import dataclasses

import pytest

from hwnas.core.registry import part
from hwnas.gradient.method import Method, relax
from hwnas.gradient.methods import DARTS, METHODS
from hwnas.gradient.parts.regularisers import REGULARISERS
from hwnas.gradient.stage import Stage
from hwnas.gradient.step.protocols import PolicyView
from targets.errors import UsageError
from tests.support.signatures import SIGNATURES, algorithm, signature_of, swaps
from tests.support.toy_cell import KEEP
from tests.support.watched import Ran

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", list(METHODS))
def test_each_row_runs_its_published_algorithm(name: str) -> None:
    signature_of(METHODS[name])(Ran(METHODS[name]))


@pytest.mark.parametrize(("name", "swapped"), swaps())
def test_a_row_with_a_part_of_plain_darts_loses_its_signature(name: str, swapped: Method) -> None:
    with pytest.raises((AssertionError, UsageError, ValueError)):
        signature_of(METHODS[name])(Ran(swapped))


def test_every_other_algorithm_has_a_part_that_plain_darts_lacks() -> None:
    swapped = {p.values[0] for p in swaps()}
    assert swapped == {name for name in METHODS if algorithm(METHODS[name]) != algorithm(DARTS)}


def test_a_row_that_differs_in_constants_shares_the_signature() -> None:
    slower = dataclasses.replace(METHODS["gdas"], name="gdas-slow", weights=DARTS.weights)
    assert signature_of(slower) is SIGNATURES["gdas"]


def test_a_row_with_parts_of_its_own_needs_a_signature() -> None:
    colder = dataclasses.replace(METHODS["gdas"], name="cold", stages=(Stage("s", temperature=(1.0, 0.1)),))
    with pytest.raises(pytest.fail.Exception, match="method cold has parts of its own"):
        signature_of(colder)


@pytest.mark.parametrize("place", ["weight", "arch"])
def test_plain_darts_loses_its_signature_with_gates(place: str) -> None:
    gated = dataclasses.replace(DARTS, relax=relax(**DARTS.relax.parts | {place: part("gumbel_hard")}))
    with pytest.raises(AssertionError):
        SIGNATURES["darts"](Ran(gated))


def test_dal_covers_both_cells() -> None:
    """The published code sums the normal cell only."""
    ran = Ran(METHODS["dadarts-dal-on-alphas"])
    view = ran.learning[0].view
    assert isinstance(view, PolicyView)
    weights = [w.detach().clone().requires_grad_() for w in view.soft.probs]
    mix = dataclasses.replace(view.soft, probs=tuple(weights))
    REGULARISERS["dal"](dataclasses.replace(view, soft=mix)).backward()
    assert all(w.grad is not None and bool((w.grad != 0).any()) for w in weights)


def test_nodes_keep_what_they_keep() -> None:
    assert KEEP == 2
