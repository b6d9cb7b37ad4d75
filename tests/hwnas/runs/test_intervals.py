"""Intervals of counted shares, against scipy and the tables of their papers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from hwnas.runs.intervals import corrected_resampled, difference, difference_of, wilson


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(counted: tuple[int, int]) -> None:
    right, n = counted
    expected = binomtest(right, n).proportion_ci(method="wilson")
    assert wilson(right / n, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize(
    ("right", "n", "other", "n_other", "low", "high"),
    [  # Newcombe 1998, Statistics in Medicine 17:873-890, table II, method 10
        (56, 70, 48, 80, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.1705, 0.8090),
        (5, 56, 0, 29, -0.0381, 0.1926),
    ],
)
def test_differences_are_those_of_newcombe(
    right: int, n: int, other: int, n_other: int, low: float, high: float
) -> None:
    assert difference_of(right / n, n, other / n_other, n_other) == pytest.approx((low, high), abs=1e-4)


def test_a_network_does_not_differ_from_itself() -> None:
    low, high = difference(0.9, 0.9, 400)
    assert low == pytest.approx(-high)
    assert low < 0 < high


def test_the_corrected_resampled_interval_is_that_of_its_paper() -> None:
    """Nadeau and Bengio 2003: five figures, 90 images to train and 10 to test on, worked by hand.

    Mean 0.84, deviation 0.0258 (n - 1); t(0.975, 4) = 2.7764; half = 2.7764 sqrt(1/5 + 1/9) 0.0258.
    """
    low, high = corrected_resampled([0.8, 0.83, 0.84, 0.86, 0.87], 90, 10)
    assert ((low + high) / 2, (high - low) / 2) == pytest.approx((0.84, 0.04242), abs=2e-4)


def test_it_holds_the_truth_where_splits_share_their_images() -> None:
    """A mean learned from a part of 100 numbers and tested on another: the naive interval is too narrow."""
    rng = np.random.default_rng(0)
    inside = {"corrected": 0, "naive": 0}
    n_runs, n_train, n_test, k = 300, 80, 20, 8
    truth = 1 + 1 / n_train  # the expected squared error of the mean of 80 numbers of deviation 1
    for _ in range(n_runs):
        x = rng.normal(size=100)
        errors = []
        for _ in range(k):
            order = rng.permutation(100)
            errors.append(float(((x[order[80:]] - x[order[:80]].mean()) ** 2).mean()))
        low, high = corrected_resampled(errors, n_train, n_test)
        inside["corrected"] += low <= truth <= high
        half = 2.3646 * np.std(errors, ddof=1) / np.sqrt(k)  # t(0.975, 7), as if they were independent
        inside["naive"] += abs(np.mean(errors) - truth) <= half
    assert inside["corrected"] / n_runs > 0.9 > 0.8 > inside["naive"] / n_runs
