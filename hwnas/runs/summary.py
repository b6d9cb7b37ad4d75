"""The few lines that tell what a finished search found, from `front.json` alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .front_file import front_points

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


def _on_devices(columns: Mapping[str, Any], name: str) -> object:
    """The latency on the only device; of several, those on the others by name behind that on the first."""
    first = columns.get(name)
    others = {key.partition("@")[2]: value for key, value in columns.items() if key.startswith(f"{name}@")}
    if first is None or not others:
        return first
    return "; ".join([f"{first:.4g}", *(f"{device} {value:.4g}" for device, value in others.items())])


def front_rows(front: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """One row per trained network under HEADINGS, picks first, then by latency."""
    rows = []
    for point in front_points(front):
        if point.is_trained:
            measured = point.measured or {}
            cells = (
                point.arch_id,
                point.pick or point.origin,
                measured["val_accuracy"],
                measured["test_accuracy"],
                _on_devices(measured, "latency_p50_ms"),
                _on_devices(point.predicted, "latency_ms"),
                measured.get("size_mb"),
                "yes" if point.feasible else "no",
            )
            rows.append(((point.pick is None, measured["latency_p50_ms"]), cells))
    return [cells for _, cells in sorted(rows, key=lambda row: row[0])]
