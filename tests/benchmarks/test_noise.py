"""What two runs say of each other, on rows whose figures can be reckoned by hand."""

from __future__ import annotations

import pytest

from benchmarks.noise import compare, passed
from lut import Measurement


def row(p50_ms: float, half_width_ms: float, flag: str = "ok") -> Measurement:
    low, high = p50_ms - half_width_ms, p50_ms + half_width_ms
    return Measurement(p50_ms, p50_ms, p50_ms, low, high, "cpu", flag, 40)


FIRST = {
    "same": row(1.00, 0.02),
    "near": row(1.04, 0.02),
    "touching": row(1.10, 0.10),
    "apart, told": row(2.00, 0.10),
    "apart, told once": row(3.00, 0.30, "unstable"),
    "apart, untold": row(1.20, 0.01),
    "only here": row(9.00, 0.01),
}
SECOND = {
    "same": row(1.00, 0.01),
    "near": row(1.00, 0.02),  # 1.02 to 1.06 and 0.98 to 1.02 meet in one point
    "touching": row(1.00, 0.05),
    "apart, told": row(1.00, 0.10, "unstable"),
    "apart, told once": row(1.00, 0.10),
    "apart, untold": row(1.00, 0.01),
    "only there": row(9.00, 0.01),
}


def test_rows_of_both_runs_by_hand() -> None:
    found = compare(FIRST, SECOND)
    assert (found["rows"], found["overlapping"], found["not_overlapping"]) == (6, 3, 3)
    assert (found["flagged"], found["unflagged_not_overlapping"]) == (2, 1)
    assert found["not_overlapping_flagged_pct"] == pytest.approx(100 * 2 / 3)
    # unflagged: 0, 4, 10 and 20 % off; all: these and 100 and 200 %
    assert found["unflagged_median_pct"] == pytest.approx(7.0)
    assert found["unflagged_within_5_pct"] == pytest.approx(50.0)
    assert found["unflagged_largest_pct"] == pytest.approx(20.0)
    assert found["all_median_pct"] == pytest.approx(15.0)


def test_half_widths_are_of_every_row_that_is_not_flagged_itself() -> None:
    first = {"a": row(1.0, 0.01), "b": row(2.0, 0.10, "unstable")}
    second = {"a": row(2.0, 0.04), "b": row(1.0, 0.09)}
    # 1, 2 and 9 %; the flagged one has 5
    assert compare(first, second)["unflagged_half_width_pct"] == pytest.approx(2.0)


def test_nothing_is_said_of_rows_that_there_are_not() -> None:
    flagged = {"a": row(1.0, 0.1, "unstable")}
    found = compare(flagged, flagged)
    assert found["not_overlapping_flagged_pct"] is None
    assert found["unflagged_median_pct"] is None
    assert found["unflagged_half_width_pct"] is None
    assert found["all_median_pct"] == 0


@pytest.mark.parametrize(
    ("share_pct", "median_pct", "verdict"),
    [
        (90.0, 5.0, True),
        (89.9, 5.0, False),
        (90.0, 5.1, False),
        (None, 5.0, True),
        (None, 5.1, False),
        (90.0, None, True),
        (None, None, True),
    ],
)
def test_both_bars_must_be_met(share_pct: float | None, median_pct: float | None, verdict: bool) -> None:
    found = {"not_overlapping_flagged_pct": share_pct, "unflagged_median_pct": median_pct}
    assert passed(found) is verdict


def test_the_rows_above_pass_without_those_that_are_apart_and_untold() -> None:
    assert not passed(compare(FIRST, SECOND))
    told = [key for key in FIRST if key != "apart, untold"]
    assert passed(compare({key: FIRST[key] for key in told}, SECOND))
