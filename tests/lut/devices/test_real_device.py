"""The whole path once, with real sessions in a real process, on a toy space and for seconds only.

What is asserted holds on a machine that is busy with other work: orders of magnitude, what figures say of
each other, and what a flag promises. How exact the numbers are is for benchmarks on a quiet machine.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lut
import lut.devices.device
import lut.tables.block_level
from lut.devices.reference_networks import empty_onnx, reference_onnx
from profilers import Timing
from profilers.stats import UNSTABLE_CI
from targets import load_target
from targets.errors import DamagedFileError, TargetError
from tests.support.logs import silent

pytestmark = pytest.mark.slow


HOST = load_target("host")


def test_a_table_in_seconds_better_than_nothing(
    tmp_path: Path, blocks, networks, patiently, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[int] = []
    limits_s: list[float] = []

    @contextmanager
    def progress(name: str, total: int, *, limit_s: float | None = None):
        shown[:] = [total]
        yield type("Bar", (), {"advance": lambda self: shown.append(1)})()

    def run_job(target, models, timing: Timing, *rest, **more):
        limits_s.append(timing.seconds)
        return lut.devices.device.run_job(target, models, timing, *rest, **more)

    monkeypatch.setattr(lut.tables.block_level, "run_job", run_job)

    def space_table(minutes: float) -> lut.SpaceTable:
        return lut.space_table(
            HOST,
            "toy",
            blocks,
            networks,
            minutes=minutes,
            home=tmp_path,
            exporter="helper",
            seed=0,
            log=silent,
            progress=progress,
        )

    table, minutes = patiently(0.3, space_table)
    assert 0 < limits_s[-1] <= 60 * minutes  # that the profiler keeps to it is shown in test_measure.py
    total, *advances = shown
    assert total == 1 + 3 * len(networks) + len(blocks)  # a busy machine may not get to all blocks
    assert len(advances) == 1 + 3 * len(networks) + table.errors["n_rows_measured"]
    assert table.errors["n_rows_measured"] + table.errors["n_rows_predicted"] == len(blocks)
    assert all(table.latency_ms(p.key) > 0 for p in blocks)
    longest, shortest = "conv5e6", "conv1e1"  # 78 times the MACs
    assert table.latency_ms(longest) > 5 * table.latency_ms(shortest)
    check = table.errors["check"]
    predicted, measured = (np.array([row[f"{of}_ms"] for row in check]) for of in ("predicted", "measured"))
    off = np.abs(predicted / measured - 1)
    assert table.errors["mape_pct"] == pytest.approx(100 * off.mean())
    assert off.mean() < np.abs(np.median(measured) / measured - 1).mean()  # than one number for all
    assert np.corrcoef(np.log(predicted), np.log(measured))[0, 1] > 0.5


def test_exported_files_and_bytes_are_measured_together(tmp_path: Path, networks) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(reference_onnx())
    files: dict[str, Path | bytes] = {
        "as a file": path,
        "as bytes": reference_onnx(),
        "nothing": empty_onnx(),
    }
    found = lut.measure(HOST, files, home=tmp_path, log=silent)
    assert list(found) == list(files)
    a, b, empty = found.values()
    assert 1 / 3 < a.p20_ms / b.p20_ms < 3  # sessions of one file differ by up to a half
    assert empty.p50_ms < 0.5 * a.p50_ms  # 4 us and 50 us where nothing disturbs
    for row in found.values():
        assert row.clock == "cpu"
        assert 0 < row.p20_ms <= row.p50_ms <= row.p90_ms
        assert row.ci_low_ms <= row.p50_ms <= row.ci_high_ms
        half_width_ms = max(row.ci_high_ms - row.p50_ms, row.p50_ms - row.ci_low_ms)
        assert row.flag == "unstable" or half_width_ms <= (UNSTABLE_CI + 1e-9) * row.p50_ms
    assert lut.measure(HOST, {}, home=tmp_path, log=silent) == {}


def test_the_unit_of_a_context_is_fixed_by_its_first_measurement(tmp_path: Path) -> None:
    lut.measure(HOST, {"a": reference_onnx()}, home=tmp_path, log=silent)
    (level,) = (tmp_path / "tables" / "host" / "reference").glob("*.json")
    level.write_text(level.read_text().replace('"p50_ms": ', '"p50_ms": 10'))
    # ten and more times the level: ten and more times every latency, because the ratio is what was measured
    assert lut.measure(HOST, {"a": reference_onnx()}, home=tmp_path, log=silent)["a"].p50_ms > 1
    level.write_text('{"p50_ms": -1.0}')
    with pytest.raises(DamagedFileError, match=r"p50_ms is -1\.0"):
        lut.measure(HOST, {"a": reference_onnx()}, home=tmp_path, log=silent)


def test_what_cannot_be_measured_says_so(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match=r"none\.onnx cannot be read"):
        lut.measure(HOST, {"broken": tmp_path / "none.onnx"}, home=tmp_path, log=silent)
    with pytest.raises(DamagedFileError, match="onnxruntime cannot load broken"):
        lut.measure(HOST, {"broken": b"no network"}, home=tmp_path, log=silent)
    with pytest.raises(TargetError, match="CoreMLExecutionProvider"):
        lut.measure(replace(HOST, provider="coreml"), {"a": empty_onnx()}, home=tmp_path, log=silent)
