"""Intervals of counted shares, against scipy and the tables of their papers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from hwnas.runs.intervals import difference, difference_of, wilson


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
