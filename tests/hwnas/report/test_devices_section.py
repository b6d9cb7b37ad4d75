"""The columns of several devices on the page of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hwnas.report.devices_section import devices_section
from hwnas.report.run_files import read_run

POINT = {
    "arch_id": "a1",
    "arch": "x",
    "origin": "front",
    "pick": "knee",
    "predicted": {"latency_ms": 1.0, "latency_ms@pi": 9.0},
    "measured": {
        "latency_p50_ms": 1.1,
        "latency_p50_ms@pi": 9.0,
        "latency_ci_low_ms@pi": 8.0,
        "latency_ci_high_ms@pi": 10.1,
        "clock@pi": "predicted",
        "test_accuracy": 0.9,
        "val_accuracy": 0.9,
    },
    "feasible": False,
}
TARGETS = [
    {"name": "host", "metric": "latency_ms", "measured": True},
    {"name": "pi <b>", "metric": "latency_ms@pi", "measured": False},
]


def page_of(folder: Path, **front: Any) -> str:
    (folder / "front.json").write_text(json.dumps({"points": [POINT], **front}))
    return str(devices_section(read_run(folder)) or "")


def test_each_device_has_a_column_that_says_how_it_is_known(tmp_path: Path) -> None:
    budgets = [{"metric": "latency_ms", "limit": 2.0}, {"metric": "latency_ms@pi", "limit": 8.5}]
    page = page_of(tmp_path, targets=TARGETS, budgets=budgets).replace("\N{NO-BREAK SPACE}", " ")
    assert "measured, budget 2.00 ms" in page and "predicted, budget 8.50 ms" in page
    assert "<b>9.00 ms</b>" in page and "<b>1.10 ms</b>" not in page
    assert "8.00 to 10.1" in page and "Not at hand: pi" in page
    assert "pi &lt;b&gt;" in page and "pi <b>" not in page


def test_a_run_for_one_device_needs_no_such_table(tmp_path: Path) -> None:
    assert page_of(tmp_path, targets=TARGETS[:1]) == page_of(tmp_path) == ""
