from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profilers.stats import flagged, interval, quantile_ratio, reasons_of, summarise, undisturbed


def test_quantiles_by_hand() -> None:
    # 100..110: position q * 10 from the first; all within 10 % of the fastest twentieth (1.1 * 100.5)
    s = summarise(np.arange(100.0, 111.0))
    assert (s.n, s.p20, s.p50, s.p90, s.quiet_share) == (11, 102.0, 105.0, 109.0, 1.0)
    assert s.ci_low < 105.0 < s.ci_high


def test_disturbed_samples_are_set_aside_but_for_p90() -> None:
    s = summarise(np.tile([1.0, 3.0, 1.0, 3.0, 1.0, 3.0, 1.0, 3.0, 3.0, 1.0], 3))
    assert (s.p20, s.p50, s.p90, s.quiet_share, s.reasons) == (1.0, 1.0, 3.0, 0.5, [])
    rare = summarise(np.array([1.0, *np.linspace(3, 4, 9)]))  # one quick sample may be luck
    assert rare.p20 == 1.0 and rare.reasons
    assert rare.ci_high > 3
    assert undisturbed(np.array([1.2, 1.0, 1.09, 5.0])).tolist() == [1.0, 1.09]


def test_constant_samples_are_stable_and_exact() -> None:
    s = summarise(np.full(20, 2.0))
    assert (s.p20, s.ci_low, s.ci_high, s.ci_pct, s.half_split, s.drift, s.reasons) == (2, 2, 2, 0, 0, 0, [])


def test_drift_and_half_split_by_hand() -> None:
    drifting = summarise(np.repeat([1.0, 1.2], 10))  # second half 20 % slower
    assert drifting.drift == pytest.approx(0.2)
    assert drifting.half_split == 0.0 and "the time drifted by +20%" in drifting.reasons
    alternating = summarise(np.tile([1.08, 1.0], 10))  # even samples 8 % slower
    assert alternating.half_split == pytest.approx(0.08)
    assert alternating.drift == 0.0 and "two halves of the samples differ by 8%" in alternating.reasons


@pytest.mark.parametrize(("quantile", "n"), [(0.5, 20), (0.5, 100), (0.2, 60)])
def test_interval_covers_the_true_quantile_of_an_exponential_distribution(quantile: float, n: int) -> None:
    truth = -np.log(1 - quantile)
    hits = 0
    for seed in range(400):
        low, high = interval(np.sort(np.random.default_rng(seed).exponential(size=n)), quantile)
        hits += low <= truth <= high
    assert hits >= 372  # 95 % of 400, less two standard deviations


def test_ratio_cancels_a_speed_that_both_share() -> None:
    times, reference = np.linspace(1, 1.05, 11), np.linspace(4, 4.2, 11)
    assert quantile_ratio(times, reference) == quantile_ratio(3 * times, 3 * reference) == pytest.approx(0.25)


def alike(n: int, correlation: float, seed: int) -> np.ndarray:
    """Samples around 1 by 2 %, each like the one before it: a neighbour that works in bouts."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n)
    for i in range(1, n):
        x[i] = correlation * x[i - 1] + np.sqrt(1 - correlation**2) * x[i]
    return np.exp(0.02 * x)


def visited(n: int, length: float, slower: float, seed: int) -> np.ndarray:
    """Samples around 1 by 1 %; in stretches of `length` on average they take `slower` times as long."""
    rng = np.random.default_rng(seed)
    state, slow = rng.random() < 0.5, np.empty(n, dtype=bool)
    for i in range(n):
        state ^= rng.random() < 1 / length
        slow[i] = state
    return np.where(slow, slower, 1.0) * np.exp(0.01 * rng.standard_normal(n))


@pytest.mark.slow
@settings(max_examples=4, deadline=None, derandomize=True)
@given(correlation=st.floats(0, 0.8, allow_subnormal=False), n=st.integers(100, 200))
def test_intervals_hold_the_median_though_samples_are_alike(correlation: float, n: int) -> None:
    found = [summarise(alike(n, correlation, seed)) for seed in range(100)]
    assert np.mean([s.ci_low <= 1.0 <= s.ci_high for s in found]) >= 0.9


@settings(max_examples=4, deadline=None, derandomize=True)
@given(slower=st.floats(1.2, 2.0), length=st.floats(2, 10), n=st.integers(80, 200))
def test_intervals_hold_the_undisturbed_median_or_the_row_is_flagged(slower, length, n) -> None:
    found = [summarise(visited(n, length, slower, seed)) for seed in range(100)]
    assert np.mean([s.ci_low <= 1.0 <= s.ci_high or bool(s.reasons) for s in found]) >= 0.9


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), n=st.integers(30, 200), spread=st.floats(0, 0.02, allow_subnormal=False))
def test_a_quiet_series_is_not_flagged(seed: int, n: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    assert summarise(3.0 * (1 + spread * rng.exponential(size=n))).reasons == []


def test_a_flag_says_why_with_its_figure() -> None:
    drifting = summarise(np.array([1.0] * 10 + [1.2] * 10))
    assert any(reason == "the time drifted by +20%" for reason in drifting.reasons)
    assert reasons_of(summarise(np.full(20, 2.0)), 0.25, "cpu") == ["it ran for 25% of the time"]
    assert flagged([]) == {"flag": "ok", "reason": ""}
