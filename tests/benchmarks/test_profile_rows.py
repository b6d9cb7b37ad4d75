"""The order of a job, and what its rows cost, counted by hand."""

from __future__ import annotations

import pytest

from benchmarks.profile_rows import interleaved, spent_s


def test_a_row_of_single_runs() -> None:
    """2 samples of 10 and 30 ms: each one run before it, as long as itself; 4 runs warm up at their mean."""
    row = {"wall_ms": [10.0, 30.0], "inner": 1, "load_s": 0.5}
    assert spent_s(row) == pytest.approx(0.5 + 2 * 0.040 + 4 * 0.020)


def test_a_row_of_repeated_runs() -> None:
    """Five runs per sample and one before; 6 runs more that told how many runs a sample takes."""
    row = {"wall_ms": [0.2, 0.4], "inner": 5, "load_s": 0.0}
    assert spent_s(row) == pytest.approx(6 * 0.0006 + 10 * 0.0003)


def test_two_lists_are_spread_evenly_and_each_keeps_its_order() -> None:
    first = {f"g{i}": b"" for i in range(6)}
    second = {f"z{i}": b"" for i in range(2)}
    # at 0, 1/6 .. 5/6 and at 0, 1/2; of two at one place the one whose name comes first
    assert list(interleaved(first, second)) == ["g0", "z0", "g1", "g2", "g3", "z1", "g4", "g5"]


def test_what_is_interleaved_is_what_was_given() -> None:
    first, second = {"a": b"1", "b": b"2"}, {"c": b"3"}
    assert interleaved(first, second) == {**first, **second}
    assert interleaved({}, second) == second
