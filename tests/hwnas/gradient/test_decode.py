"""Decoding against brute force on spaces small enough to enumerate."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.core.budget import Budget
from hwnas.core.choice import Choice
from hwnas.core.mix import Mix
from hwnas.core.space import Space
from hwnas.gradient import decode
from hwnas.gradient.decode import decode_seeds, respect_budgets
from hwnas.gradient.parts.decoders import DECODERS, Decoding
from hwnas.gradient.step.ranking import log_prob, most_probable, units_of
from targets.errors import InfeasibleError
from tests.support.toy import ToyCosts, all_archs, toy_costs, toy_space

COST = st.lists(st.floats(0.1, 10), min_size=9, max_size=9)
LOGITS = st.lists(st.floats(-4, 4), min_size=9, max_size=9)


def normalised(values: list[float]) -> list[np.ndarray]:
    rows = np.array(values).reshape(3, 3)
    return list(rows - np.log(np.exp(rows).sum(1, keepdims=True)))


@given(LOGITS)
@settings(deadline=None, max_examples=50)
def test_the_walk_visits_every_architecture_once_in_order_of_probability(values: list[float]) -> None:
    log_probs = normalised(values)
    walked = list(most_probable(units_of(log_probs, toy_space().choices)))
    assert sorted(walked) == all_archs(toy_space())
    probabilities = [log_prob(log_probs, a) for a in walked]
    assert all(a >= b - 1e-9 for a, b in itertools.pairwise(probabilities))


def test_the_walk_copes_with_choices_of_one_option() -> None:
    log_probs = [np.zeros(1), np.log([0.3, 0.7]), np.zeros(1)]
    choices = tuple(Choice(str(i), tuple(map(str, range(len(p))))) for i, p in enumerate(log_probs))
    assert list(most_probable(units_of(log_probs, choices))) == [(0, 1, 0), (0, 0, 0)]


@given(LOGITS, COST, COST, st.floats(0.1, 1), st.floats(0.1, 1))
@settings(deadline=None, max_examples=100)
def test_the_most_probable_that_fits_is_that_of_brute_force(
    values: list[float], latency: list[float], size: list[float], share: float, share_mb: float
) -> None:
    space = toy_space()
    costs = ToyCosts(
        space,
        {"latency_ms": np.reshape(latency, (3, 3)).tolist(), "size_mb": np.reshape(size, (3, 3)).tolist()},
    )
    archs = all_archs(space)
    found = costs.of(archs)
    budgets = [
        Budget("latency_ms", max(0.01, share * float(found["latency_ms"].max()))),
        Budget("size_mb", max(0.01, share_mb * float(found["size_mb"].max()))),
    ]
    log_probs = normalised(values)
    fits = [i for i in range(len(archs)) if all(found[b.metric][i] <= b.limit for b in budgets)]
    if not fits:
        with pytest.raises(InfeasibleError):
            respect_budgets(space, costs, log_probs, budgets)
        return
    best = max(log_prob(log_probs, archs[i]) for i in fits)
    arch = respect_budgets(space, costs, log_probs, budgets)
    assert archs.index(arch) in fits
    assert log_prob(log_probs, arch) == pytest.approx(best, abs=1e-9)


@given(LOGITS, COST, st.floats(0.3, 1))
@settings(deadline=None, max_examples=60)
def test_repair_alone_finds_a_fit_and_loses_little(
    values: list[float], latency: list[float], share: float
) -> None:
    """With the walk cut to one architecture, as it is in effect on a huge space under a tight budget."""
    space = toy_space()
    costs = ToyCosts(space, {"latency_ms": np.reshape(latency, (3, 3)).tolist()})
    archs = all_archs(space)
    found = costs.of(archs)["latency_ms"]
    budget = Budget("latency_ms", max(share * float(found.max()), float(found.min())))
    log_probs = normalised(values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode, "LONGEST_WALK", 1)
        arch = respect_budgets(space, costs, log_probs, [budget])
    assert found[archs.index(arch)] <= budget.limit
    singles = [
        a
        for a in archs
        if sum(x != y for x, y in zip(a, arch, strict=True)) == 1 and found[archs.index(a)] <= budget.limit
    ]
    assert all(log_prob(log_probs, a) <= log_prob(log_probs, arch) + 1e-9 for a in singles)


def test_a_budget_below_the_space_names_the_fastest_and_the_nearest_feasible_budget() -> None:
    space = toy_space()
    with pytest.raises(InfeasibleError) as error:
        respect_budgets(space, toy_costs(space), normalised([0.0] * 9), [Budget("latency_ms", 2.0)])
    text = str(error.value)
    assert "budget latency_ms<=2 cannot be met" in text
    assert "none/none/none" in text
    assert "nearest feasible budget is latency_ms<=3" in text


def test_every_budget_out_of_reach_is_named() -> None:
    space = toy_space()
    budgets = [Budget("latency_ms", 2.0), Budget("size_mb", 1.0)]
    with pytest.raises(InfeasibleError, match=r"latency_ms<=3; budget size_mb<=1 cannot be met.*size_mb<=3"):
        respect_budgets(space, toy_costs(space), normalised([0.0] * 9), budgets)


def test_budgets_that_clash_are_named_together() -> None:
    space = Space("pair", [Choice("a", ("x", "y"))])
    costs = ToyCosts(space, {"latency_ms": [[1.0, 5.0]], "size_mb": [[5.0, 1.0]]})
    budgets = [Budget("latency_ms", 2.0), Budget("size_mb", 2.0)]
    with pytest.raises(
        InfeasibleError, match="each budget can be met alone, but space pair holds no architecture"
    ):
        respect_budgets(space, costs, [np.log([0.5, 0.5])], budgets)


@pytest.mark.parametrize(("least", "text"), [(1.23449, "1.235"), (3.0, "3"), (123456.0, "123500")])
def test_nearest_feasible_budgets_are_rounded_up(least: float, text: str) -> None:
    space = Space("one", [Choice("a", ("x", "y"))])
    costs = ToyCosts(space, {"latency_ms": [[least, 2 * least]]})
    with pytest.raises(InfeasibleError, match=f"nearest feasible budget is latency_ms<={text}$"):
        respect_budgets(space, costs, [np.log([0.5, 0.5])], [Budget("latency_ms", 0.5)])


def test_seeds_are_different_and_fit_the_first_being_the_argmax() -> None:
    space = toy_space()
    log_probs = normalised([0.0, 0.1, 0.2] * 3)
    seeds = decode_seeds(space, toy_costs(space), log_probs, [], 5, np.random.default_rng(0))
    assert seeds[0].arch == (2, 2, 2)
    assert seeds[0].origin == "argmax"
    assert len({s.arch for s in seeds}) == 5


def test_seeds_of_a_collapsed_policy_are_its_next_most_probable() -> None:
    space = toy_space()
    log_probs = normalised([0.0, -300.0, -200.0] * 3)
    budgets = [Budget("latency_ms", 11.0)]
    seeds = decode_seeds(space, toy_costs(space), log_probs, budgets, 4, np.random.default_rng(0))
    assert seeds[0].origin == "repaired"
    assert [s.origin for s in seeds[1:]] == ["next"] * 3
    assert all(toy_costs(space).of([s.arch])["latency_ms"][0] <= 11.0 for s in seeds)


def test_a_space_with_fewer_fits_than_asked_gives_all_of_them() -> None:
    space = toy_space()
    seeds = decode_seeds(
        space,
        toy_costs(space),
        normalised([0.0] * 9),
        [Budget("latency_ms", 4.0)],
        50,
        np.random.default_rng(0),
    )
    # none thrice costs 3 ms; one weak makes it 4 ms
    assert sorted(s.arch for s in seeds) == [(1, 2, 2), (2, 1, 2), (2, 2, 1), (2, 2, 2)]


@pytest.mark.parametrize("kind, skips", [("normal", 2), ("cell", 2), ("reduce", 4)])
def test_skips_are_limited_where_a_cell_keeps_its_size(kind: str, skips: int) -> None:
    """Four free edges, all for the skip; those with the least of it give way to the next best."""
    space = Space("edges", [Choice(f"{kind}.0-{t}", ("none", "skip_connect", "conv")) for t in range(1, 5)])
    scores = [np.log([0.1, p, 0.9 - p]) for p in (0.7, 0.5, 0.8, 0.6)]
    soft = Mix.one_hot(space.choices, (0, 0, 0, 0))
    nothing = (lambda: (0,) * 4, lambda mix: 0.0, lambda mix, share: None)
    view = Decoding(space, scores, soft, *nothing, np.random.default_rng(0))
    arch = DECODERS["limit_skips"](view)
    assert arch.count(1) == skips
    if skips == 2:
        assert arch == (1, 2, 1, 2)
