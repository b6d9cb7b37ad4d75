"""The few lines that tell what a finished search found, from `front.json` alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from targets.files import read_json

HEADINGS = (
    "network",
    "pick",
    "val accuracy",
    "test accuracy",
    "p50 ms",
    "predicted ms",
    "size MB",
    "in budget",
)


def read_front(run_path: Path) -> dict[str, Any]:
    """front.json of a finished run; DamagedFileError when it is missing or torn."""
    document: dict[str, Any] = read_json(run_path / "front.json", "the front of the run")
    return document


def front_rows(front: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """One row per trained network under HEADINGS, picks first, then by latency."""
    trained = [p for p in front["points"] if (p["measured"] or {}).get("test_accuracy") is not None]
    rows: list[tuple[object, ...]] = []
    for point in sorted(trained, key=lambda p: (p["pick"] is None, p["measured"]["latency_p50_ms"])):
        measured, predicted = point["measured"], point["predicted"]
        rows.append(
            (
                point["arch_id"],
                point["pick"] or point["origin"],
                measured["val_accuracy"],
                measured["test_accuracy"],
                measured["latency_p50_ms"],
                predicted.get("latency_ms"),
                measured.get("size_mb"),
                "yes" if point["feasible"] else "no",
            )
        )
    return rows
