"""The whole path once, with real sessions in a real process, on a toy space and for seconds only."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import lut
import lut.tables.alone
from lut.devices.reference import empty_onnx, reference_onnx
from targets import load_target
from targets.errors import DamagedFileError, TargetError

HOST = load_target("host")


def test_a_table_in_seconds_inside_its_time_and_better_than_nothing(
    tmp_path: Path, parts, wholes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A disturbed machine is no failure of the code; that it is refused is shown in test_space_table.py.
    monkeypatch.setattr(lut.tables.alone, "UNSTABLE_ROWS", 1.0)
    monkeypatch.setattr(lut.tables.alone, "MOST_NOISE_PCT", {"cpu": 1e3})
    shown = []

    @contextmanager
    def progress(name: str, total: int):
        shown.append(total)
        yield type("Bar", (), {"advance": lambda self: shown.append(1)})()

    began = time.monotonic()
    seconds = 20.0
    table = lut.space_table(
        HOST,
        "toy",
        parts,
        wholes,
        minutes=seconds / 60,
        home=tmp_path,
        exporter="helper",
        seed=0,
        log=str,
        progress=progress,
    )
    # The limit is for the measurement; what comes after is a few trees and files.
    assert time.monotonic() - began < seconds + 15
    assert shown[0] == 1 + 3 * len(wholes) + table.errors["n_rows_measured"]
    assert len(shown) - 1 == shown[0]
    assert table.errors["n_rows_measured"] == len(parts)
    assert 0 < table.errors["mape_pct"] < 50
    assert table.errors["spearman"] > 0.8
    assert all(table.latency_ms(p.key) > 0 for p in parts)
    longest, shortest = "conv5e6", "conv1e1"  # 78 times the MACs
    assert table.latency_ms(longest) > 5 * table.latency_ms(shortest)


def test_exported_files_and_bytes_are_measured_together(tmp_path: Path, wholes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(reference_onnx())
    files = {"as a file": path, "as bytes": reference_onnx(), "nothing": empty_onnx()}
    found = lut.measure(HOST, files, home=tmp_path, log=str)
    assert list(found) == list(files)
    a, b, empty = found.values()
    assert a.p20_ms == pytest.approx(b.p20_ms, rel=0.3)
    assert empty.p50_ms < 0.5 * a.p50_ms
    assert a.clock == "cpu"
    assert a.ci_low_ms <= a.p50_ms <= a.ci_high_ms <= a.p90_ms * 1.1
    assert lut.measure(HOST, {}, home=tmp_path, log=str) == {}


def test_the_unit_of_a_context_is_fixed_by_its_first_measurement(tmp_path: Path) -> None:
    lut.measure(HOST, {"a": reference_onnx()}, home=tmp_path, log=str)
    (level,) = (tmp_path / "tables" / "host" / "reference").glob("*.json")
    level.write_text(level.read_text().replace('"p50_ms": ', '"p50_ms": 10'))
    # ten and more times the level: ten and more times every latency, because the ratio is what was measured
    assert lut.measure(HOST, {"a": reference_onnx()}, home=tmp_path, log=str)["a"].p50_ms > 1
    level.write_text('{"p50_ms": -1.0}')
    with pytest.raises(DamagedFileError, match=r"p50_ms is -1\.0"):
        lut.measure(HOST, {"a": reference_onnx()}, home=tmp_path, log=str)


def test_what_cannot_be_measured_says_so(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match=r"none\.onnx cannot be read"):
        lut.measure(HOST, {"broken": tmp_path / "none.onnx"}, home=tmp_path, log=str)
    with pytest.raises(DamagedFileError, match="onnxruntime cannot load broken"):
        lut.measure(HOST, {"broken": b"no network"}, home=tmp_path, log=str)
    with pytest.raises(TargetError, match="CoreMLExecutionProvider"):
        lut.measure(replace(HOST, provider="coreml"), {"a": empty_onnx()}, home=tmp_path, log=str)
