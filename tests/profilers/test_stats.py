from __future__ import annotations

import numpy as np
import pytest

from profilers.stats import interval, quantile_ratio, summarise, undisturbed


def test_quantiles_by_hand() -> None:
    # 100..110: position q * 10 from the first; all within 10 % of the fastest twentieth (1.1 * 100.5)
    s = summarise(np.arange(100.0, 111.0))
    assert (s.n, s.p20, s.p50, s.p90, s.quiet_share) == (11, 102.0, 105.0, 109.0, 1.0)
    assert s.ci_low < 105.0 < s.ci_high


def test_disturbed_samples_are_set_aside_but_for_p90() -> None:
    s = summarise(np.tile([1.0, 3.0, 1.0, 3.0, 1.0, 3.0, 1.0, 3.0, 3.0, 1.0], 3))
    assert (s.p20, s.p50, s.p90, s.quiet_share, s.flag) == (1.0, 1.0, 3.0, 0.5, "ok")
    rare = summarise(np.array([1.0, *np.linspace(3, 4, 9)]))  # one quick sample may be luck
    assert (rare.p20, rare.flag) == (1.0, "unstable")
    assert rare.ci_high > 3
    assert undisturbed(np.array([1.2, 1.0, 1.09, 5.0])).tolist() == [1.0, 1.09]


def test_constant_samples_are_stable_and_exact() -> None:
    s = summarise(np.full(20, 2.0))
    assert (s.p20, s.ci_low, s.ci_high, s.ci_pct, s.half_split, s.drift, s.flag) == (2, 2, 2, 0, 0, 0, "ok")


def test_drift_and_half_split_by_hand() -> None:
    drifting = summarise(np.repeat([1.0, 1.2], 10))  # second half 20 % slower
    assert drifting.drift == pytest.approx(0.2)
    assert (drifting.half_split, drifting.flag) == (0.0, "unstable")
    alternating = summarise(np.tile([1.08, 1.0], 10))  # even samples 8 % slower
    assert alternating.half_split == pytest.approx(0.08)
    assert (alternating.drift, alternating.flag) == (0.0, "unstable")


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
