"""`hwnas bench`: measured latency, memory and energy of ONNX files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lut
from hwnas.runs.log import Log
from lut.devices.device import device_context, int8_form
from lut.predictor.models.quantise import as_run
from targets import Target

Document = Mapping[str, Any]
"""What a command prints with --json."""

PrintedTable = tuple[Sequence[str], list[list[Any]]]
"""Headings and rows."""


def bench_models(
    target: Target, models: Mapping[str, bytes], *, home: Path, log: Log, resources: Sequence[str] = ()
) -> dict[str, Any]:
    """The measured latencies of the models, with the context of the measurement.

    target: the device; where its precision is int8, float models are quantised first, and `int8` names them.
    models: ONNX bytes by name.
    home: the data home, with the reference's speed.
    log: told what is measured.
    resources: what else to measure of each model, `memory` and `energy`.
    """
    deployed = {name: as_run(data, target, name=name) for name, data in models.items()}
    others = lut.measure_resources(target, deployed, resources, log=log) if resources else {}
    measured = lut.measure(target, deployed, home=home, log=log)
    context = device_context(target, "")
    quantised = [name for name, data in models.items() if deployed[name] is not data]
    int8 = {"form": int8_form(target).text, "quantised": quantised} if target.precision == "int8" else None
    return {
        "target": target.described,
        "context": context.to_json(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "int8": int8,
        "models": {name: {**asdict(row), **others.get(name, {})} for name, row in measured.items()},
    }


def bench_table(document: Document) -> PrintedTable:
    """A row per network: its latency, then its memory and energy where they were measured."""
    models = document["models"]
    columns = ["p20_ms", "p50_ms", "p90_ms", "ci_low_ms", "ci_high_ms", "clock", "flag", "n"]
    rows = [[name, *(row[column] for column in columns)] for name, row in models.items()]
    for kind, (headings, values) in _RESOURCES.items():
        if any(kind in row for row in models.values()):
            columns += headings
            for cells, row in zip(rows, models.values(), strict=True):
                cells += values(row[kind])
    return ("network", *columns), rows


def bench_warnings(document: Document) -> list[str]:
    """Why a latency is unstable and why the energy of a network could not be measured, a line each."""
    unstable = [
        f"{name} is unstable: {row['reason']}"
        for name, row in document["models"].items()
        if row.get("reason")
    ]
    return unstable + [
        f"the energy of {name} is unavailable: {row['energy']['unavailable']}"
        for name, row in document["models"].items()
        if "unavailable" in row.get("energy", {})
    ]


def int8_line(document: Document) -> str:
    """Which networks were quantised before they were measured, and into which form; '' where none was."""
    int8 = document["int8"]
    if not int8 or not int8["quantised"]:
        return ""
    return f"quantised first: {', '.join(int8['quantised'])} ({int8['form']})"


def conditions_line(document: Document) -> str:
    """The context of the latencies in one line."""
    facts = document["context"]["facts"]
    long = ("cpu_flags", "ort_build")
    return ", ".join(f"{key} {value}" for key, value in facts.items() if value != "" and key not in long)


def _memory(row: Document) -> list[Any]:
    return [row["load_ms"], row["first_run_ms"], row["peak_bytes"] / 1e6, row["file_bytes"] / 1e6]


def _energy(row: Document) -> list[Any]:
    return [row.get("energy_mj", "unavailable"), row.get("part"), row.get("flag")]


_RESOURCES = {
    "memory": (("load_ms", "first_run_ms", "peak_mb", "file_mb"), _memory),
    "energy": (("energy_mj", "of", "energy_flag"), _energy),
}
