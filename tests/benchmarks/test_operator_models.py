"""How many intervals hold, on models whose figures can be reckoned by hand."""

from __future__ import annotations

import pytest

from benchmarks.operator_models import coverage, intervals

PRICED = {
    name: {"low_ms": low, "latency_ms": middle, "high_ms": high}
    for name, (low, middle, high) in {
        "inside": (0.01, 0.02, 0.04),
        "at the end": (0.01, 0.02, 0.03),
        "too low": (0.01, 0.02, 0.04),
        "far too high": (0.2, 0.3, 0.4),
        "small": (0.001, 0.001, 0.001),
    }.items()
}
MEASURED = {"inside": 0.02, "at the end": 0.03, "too low": 0.05, "far too high": 0.1, "small": 0.004}


def test_models_outside_of_their_interval_the_farthest_first() -> None:
    assert coverage(PRICED, MEASURED) == ["far too high", "too low"]


def test_the_share_is_of_those_over_5_us(capsys: pytest.CaptureFixture[str]) -> None:
    assert intervals(PRICED, MEASURED) == 1  # two of four is less than is promised
    assert "4 of them take over 5 µs: 50.0 % in their interval" in capsys.readouterr().out


def test_nothing_measured_is_no_fault() -> None:
    assert intervals(PRICED, {}) == 0
