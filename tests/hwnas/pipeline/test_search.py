"""`hwnas.search`: the main job as a function, on digits and a tiny space.

The device alone is a stand-in: every block costs 0.1 ms, every network 1 ms.
"""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

import hwnas
import lut
from hwnas.runs.front_file import FrontPoint
from targets.errors import DamagedFileError, UsageError
from tests.support.spaces import TINY_STAGES


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    errors = dict.fromkeys(("mape_pct", "within_5_pct", "noise_floor_pct", "macs_line_mape_pct"), 0.0)
    table = SimpleNamespace(
        context=SimpleNamespace(hash="none", facts={}, to_json=lambda: {"hash": "none", "facts": {}}),
        intercept_ms=0.0, slope=1.0, square_ms_per_mb2=0.0, latency_ms=lambda key: 0.1,
        weight_mb=lambda key: 0.0, errors=errors, margin=0.05,
    )  # fmt: skip
    measurement = lut.Measurement(1.0, 1.0, 1.0, 1.0, 1.0, "wall", "ok", 30)
    monkeypatch.setattr(lut, "space_table", lambda *_, **__: table)
    monkeypatch.setattr(lut, "measure", lambda target, files, **_: dict.fromkeys(files, measurement))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(TINY_STAGES)
    return {
        "budgets": ["latency_ms<=5000"], "space": "tiny.toml", "image_size": 16, "eval_epochs": 1,
        "evaluations": 4, "picks": 1, "random_baselines": 0,
        "train_epochs": 1, "workers": 1, "home": tmp_path / "home", "out": tmp_path / "run", "quiet": True,
    }  # fmt: skip


@pytest.mark.slow
def test_a_search_is_a_front_and_is_not_made_twice(options: dict[str, Any]) -> None:
    front = hwnas.search("digits", **options)
    run = Path(options["out"])
    with (run / "front.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    table = front.to_pandas()
    assert list(table.columns) == list(rows[0])
    assert list(table["arch_id"]) == [row["arch_id"] for row in rows] == [point.arch_id for point in front]
    assert len(front) == len(rows) and front[0] == front.points[0]
    assert front.best in front.picks and front.best.is_trained
    path = front.onnx(front.best)
    assert path is not None
    logits = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(
        None, {"image": np.zeros((1, 1, 16, 16), np.float32)}
    )
    assert logits[0].shape == (1, 10)
    others = [point for point in front if not point.is_trained]
    assert [front.onnx(point) for point in others] == [None] * len(others)
    assert "<table" in front._repr_html_()
    codes = {finding.code for finding in front.verdict}
    assert [finding.to_json() for finding in front.verdict] == front.document["verdict"]
    assert {"trained_too_short", "budget_does_not_bind"} <= codes  # 2 epochs, 5000 ms
    mistakes = json.loads((run / "mistakes.json").read_text())
    n, right = (sum(row[key] for row in mistakes["classes"]) for key in ("n", "right"))
    measured = front.best.measured or {}
    assert (n, right / n) == (measured["test_images"], pytest.approx(measured["test_accuracy"]))
    assert 0 < len(mistakes["pictures"]) <= 24
    assert (run / "models" / "best").resolve() == (run / "models" / front.best.arch_id).resolve()

    def stamps() -> dict[Path, int]:
        """When each file was written, but for what `hwnas status` shows."""
        files = [p for p in run.rglob("*.json") if p.name != "progress.json"]
        return {p: p.stat().st_mtime_ns for p in files}

    before = stamps()
    assert hwnas.search("digits", **options) == front == hwnas.Front.read(run)
    assert stamps() == before
    with pytest.raises(UsageError, match="picks: the run has 1, asked for 2"):
        hwnas.search("digits", **{**options, "picks": 2})


def test_bad_options_leave_nothing(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"pick: unknown key; .*did you mean 'picks'") as caught:
        hwnas.search("digits", **options, pick=2)
    assert "--" not in str(caught.value)  # in the words of Python
    with pytest.raises(UsageError, match="data 'digit' is neither"):
        hwnas.search("digit", **options)
    assert not (tmp_path / "run").exists()


def test_a_run_without_a_front_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match="the front of the run"):
        hwnas.Front.read(tmp_path)


def test_a_point_comes_back_from_json() -> None:
    point = FrontPoint(
        arch_id="a", arch="8:mb3e3", origin="front", pick="knee", predicted={"latency_ms": 1.0},
        measured=None, feasible=True,
    )  # fmt: skip
    assert FrontPoint.from_json(point.to_json()) == point
    assert replace(point, measured={"latency_p50_ms": 2.0}).row()["measured_latency_p50_ms"] == 2.0
