"""The devices of a run: what stands in where none is at hand, and measurements that decide a budget."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import lut
from hwnas.core.budget import Budget
from hwnas.pipeline.main_job.candidates import settled
from hwnas.pipeline.main_job.devices import (
    PREDICTED,
    RunDevice,
    burden,
    columns_of,
    measure,
    pooled,
    undecided,
    with_measured,
)
from hwnas.runs.log import Log
from targets import Target, load_target

TABLE = {"margin": 0.25, "errors": {}, "context": {"hash": "0", "facts": {"target_precision": "int8"}}}
HOST = RunDevice(name="host", metric="latency_ms", target=load_target("host"), table=TABLE)
PHONE = RunDevice(name="phone", metric="latency_ms@phone", target=None, table=TABLE)


def row(p50_ms: float, half_ms: float, n: int = 100, flag: str = "ok") -> dict[str, Any]:
    """A measurement whose interval is p50 and `half_ms` on each side."""
    return {
        "p20_ms": p50_ms, "p50_ms": p50_ms, "p90_ms": p50_ms,
        "ci_low_ms": p50_ms - half_ms, "ci_high_ms": p50_ms + half_ms,
        "clock": "cpu", "flag": flag, "n": n,
    }  # fmt: skip


def test_two_measurements_are_worth_their_samples() -> None:
    """Weighted means; the deviations of independent means add in squares."""
    both = pooled(row(10.0, 0.4, n=300), row(10.4, 0.8, n=100))
    assert both["p50_ms"] == pytest.approx(10.1) and both["n"] == 400
    half = math.hypot(0.75 * 0.4, 0.25 * 0.8)
    assert both["ci_low_ms"] == pytest.approx(10.1 - half) and both["ci_high_ms"] == pytest.approx(
        10.1 + half
    )
    assert both["flag"] == "ok"
    apart = pooled(row(10.0, 0.1), row(12.5, 0.1))
    assert (apart["flag"], apart["reason"]) == ("unstable", "two measurements differ by 20%")  # 10 / 12.5
    disturbed = {**row(10.0, 0.4, flag="unstable"), "reason": "sessions differ by 12%"}
    both = pooled(disturbed, row(10.0, 0.4))
    assert (both["flag"], both["reason"]) == ("unstable", "sessions differ by 12%")


def test_only_a_measured_interval_that_crosses_a_budget_is_undecided() -> None:
    budgets = [Budget("latency_ms", 10.0)]
    assert undecided({"latency_ms": row(9.9, 0.2)}, budgets)
    assert not undecided({"latency_ms": row(9.5, 0.2)}, budgets)
    assert not undecided({"latency_ms": row(10.5, 0.2)}, budgets)
    assert not undecided({"latency_ms": {**row(9.9, 0.2), "clock": PREDICTED}}, budgets)
    assert not undecided({"latency_ms@phone": row(9.9, 0.2)}, budgets)


def test_what_lies_on_a_budget_is_measured_again_before_it_is_believed() -> None:
    """The first answer says inside; with both that follow it is outside. The other is measured once."""
    answers = [
        {"near": row(9.9, 0.2), "far": row(5.0, 0.2)},
        {"near": row(10.2, 0.2)},
        {"near": row(10.3, 0.2)},
    ]
    asked: list[list[str]] = []

    def measured(files: dict[str, bytes], costs: Any) -> dict[str, dict[str, Any]]:
        asked.append(list(files))
        return {key: {"latency_ms": value} for key, value in answers[len(asked) - 1].items()}

    context: Any = SimpleNamespace(
        measure=measured, budgets=[Budget("latency_ms", 10.0)], run=SimpleNamespace(log=lambda text: None)
    )
    rows = settled(context, {"near": b"", "far": b""}, {})
    assert asked == [["near", "far"], ["near"], ["near"]]
    assert rows["near"]["latency_ms"]["p50_ms"] == pytest.approx((9.9 + 10.2 + 10.3) / 3)
    assert with_measured({"macs": 1.0}, rows["far"]) == {"macs": 1.0, "latency_ms": 5.0}


def test_a_device_out_of_reach_has_the_latency_of_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(target: Target, files: dict[str, bytes], **_: Any) -> dict[str, lut.Measurement]:
        assert target.name == "host"
        return {key: lut.Measurement(**row(2.0, 0.1)) for key in files}

    monkeypatch.setattr(lut, "measure", measured)
    costs = {"net": {"latency_ms": 1.9, "latency_ms@phone": 8.0}}
    rows = measure([HOST, PHONE], {"net": b"", "other": b""}, costs, home=tmp_path, log=Log(quiet=True))
    assert rows["net"]["latency_ms"]["p50_ms"] == 2.0
    phone = rows["net"]["latency_ms@phone"]
    assert (phone["p50_ms"], phone["ci_low_ms"], phone["ci_high_ms"]) == (8.0, 6.4, 10.0)
    assert (phone["clock"], phone["flag"], phone["n"]) == (PREDICTED, PREDICTED, 0)
    assert "latency_ms@phone" not in rows["other"]
    columns = columns_of(rows["net"])
    assert (columns["latency_p50_ms"], columns["latency_p50_ms@phone"]) == (2.0, 8.0)
    assert columns["clock@phone"] == PREDICTED and columns["clock"] == "cpu"
    assert (HOST.reached, PHONE.reached, PHONE.precision) == (True, False, "int8")


def test_picks_are_spread_over_the_worst_share_of_a_budget() -> None:
    costs = {"latency_ms": 3.0, "latency_ms@phone": 8.0}
    budgets = [Budget("latency_ms", 10.0), Budget("latency_ms@phone", 10.0), Budget("macs", 1.0)]
    assert burden(costs, budgets, [HOST, PHONE]) == 0.8
    assert burden(costs, budgets[:1], [HOST, PHONE]) == 0.3
    assert burden(costs, budgets, [HOST]) == burden(costs, budgets[2:], [HOST, PHONE]) == 3.0
