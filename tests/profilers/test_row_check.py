"""Rows that a device sends back: each wrong field is named, and right rows pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from profilers.row_check import checked_rows
from profilers.rows import read_rows
from targets.errors import DamagedFileError

TIMED: dict[str, Any] = {
    "kind": "time", "key": "a", "pass": 0, "n": 2, "p20_ms": 1.0, "p50_ms": 1.1, "p90_ms": 1.2,
    "ci_low_ms": 0.0, "ci_high_ms": 1.3, "clock": "cpu", "flag": "ok", "reference_p50_ms": 0.5,
    "reference_quantiles_ms": [0.5, 0.6], "cpu_ms": [1.0, 1.1], "wall_ms": [0.0, 1.1],
    "ratio": [2.0, 2.1], "others_cpus": [0.1, 0.0],
}  # fmt: skip
ARGUMENT = ["activation", "float", [1, 8]]
KERNEL: dict[str, Any] = {
    "op": "Relu", "domain": "", "name": "r", "provider": "CPUExecutionProvider", "attributes": {},
    "inputs": [ARGUMENT], "outputs": [ARGUMENT],
}  # fmt: skip
PROFILED: dict[str, Any] = {**TIMED, "kind": "kernels", "kernel_us": [[1.0], [1.1]], "kernels": [KERNEL]}


def test_rows_as_they_are_measured_pass() -> None:
    rows = [TIMED, PROFILED, {"kind": "energy", "key": "a", "pass": 0, "unavailable": "no meter"}]
    assert checked_rows(rows, "rows") == rows


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**TIMED, "kind": "speed"}, "unknown kind 'speed'"),
        ({k: v for k, v in TIMED.items() if k != "ratio"}, "has no ratio"),
        ({**TIMED, "p50_ms": float("nan")}, "p50_ms is nan"),
        ({**TIMED, "p50_ms": "1"}, "p50_ms is '1'"),
        ({**TIMED, "n": True}, "n is True"),
        ({**TIMED, "cpu_ms": [1.0, {}]}, "cpu_ms is"),
        ({**TIMED, "wall_ms": [1.0]}, "wall_ms has 1 samples of 2"),
        ({**TIMED, "cpu_ms": [0, 1.0]}, "holds a time of 0"),
        ({**TIMED, "clock": "sun"}, "clock is 'sun'"),
        ({**TIMED, "reference_quantiles_ms": []}, "reference_quantiles_ms is empty"),
        ({**TIMED, "reason": 3}, "reason is 3"),
        ({**PROFILED, "kernel_us": [[1.0], [1.0, 2.0]]}, "kernel_us has 2 times of 1 kernels"),
        ({**PROFILED, "kernels": [{**KERNEL, "inputs": [["activation", "float", [-1]]]}]}, "no kernel"),
        ({**PROFILED, "kernels": [None]}, "no kernel"),
        ({**PROFILED, "kernel_us": []}, "kernel_us has 0 samples of 2"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(row: dict[str, Any], said: str) -> None:
    with pytest.raises(DamagedFileError, match=said):
        checked_rows([row], "rows")


@pytest.mark.parametrize(
    "line",
    [
        '{"x": ' * 5000 + "1" + "}" * 5000, "[1]", '{"kind": "time"}', "NaN",
        *(json.dumps({**TIMED, **change}) for change in ({"pass": -1}, {"pass": True}, {"key": ["a"]})),
    ],
)  # fmt: skip
def test_a_line_that_is_no_row(line: str, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(f"{json.dumps(TIMED)}\n{line}\n", encoding="utf-8")
    with pytest.raises(DamagedFileError, match="line 2: not a measured row"):
        read_rows(tmp_path / "rows.jsonl")
