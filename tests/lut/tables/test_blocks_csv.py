"""Rows of a latency table that a heavily disturbed device left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lut import Measurement
from lut.tables.blocks_csv import csv_text, read_rows, write_rows
from targets.errors import DamagedFileError

ROW = Measurement(0.5, 0.6, 0.9, 0.58, 0.62, "wall", "unstable", 50)


def test_an_interval_that_reaches_down_to_zero_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = {"a": replace(ROW, ci_low_ms=0.0)}
    write_rows(tmp_path / "blocks.csv", rows)
    assert read_rows(tmp_path / "blocks.csv") == rows


def test_no_other_time_may_be_zero(tmp_path: Path) -> None:
    write_rows(tmp_path / "blocks.csv", {"a": replace(ROW, p50_ms=0.0)})
    with pytest.raises(DamagedFileError, match=r"p50_ms: '0.0' must be above 0"):
        read_rows(tmp_path / "blocks.csv")


def test_a_reason_is_kept_and_files_without_one_are_as_before(tmp_path: Path) -> None:
    rows = {"a": replace(ROW, reason='sessions differ by 12%, "b"'), "b": replace(ROW, flag="ok")}
    write_rows(tmp_path / "blocks.csv", rows)
    assert read_rows(tmp_path / "blocks.csv") == rows
    header = "key,n,p20_ms,p50_ms,p90_ms,ci_low_ms,ci_high_ms,clock,flag"
    assert csv_text({"a": ROW}) == f"{header}\na,50,0.5,0.6,0.9,0.58,0.62,wall,unstable\n"
