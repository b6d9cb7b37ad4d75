"""`hwnas bench`: measured latency, memory and energy of ONNX files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lut
from hwnas.runs.log import Log
from lut.devices.device import device_context, int8_form
from lut.predictor.models.input_metadata import fed_notes
from lut.predictor.models.quantise import as_run
from targets import Target
from targets.errors import HwnasError

from .model_files import FailedFiles, failures_json, without_failures
from .model_table import NETWORK, Document, Row


def bench_models(
    target: Target,
    files: Iterable[tuple[str, bytes | HwnasError]],
    *,
    home: Path,
    log: Log,
    resources: Sequence[str] = (),
) -> dict[str, Any]:
    """The measured latencies of the models, with the context of the measurement.

    target: the device; where its precision is int8, float models are quantised first, and `int8` names them.
    files: ONNX bytes by name, or why a file cannot be read.
    home: the data home, with the reference's speed.
    log: told what is measured.
    resources: what else to measure of each model, `memory` and `energy`.
    """
    deployed: dict[str, bytes] = {}
    quantised: list[str] = []
    failed: FailedFiles = {}
    for name, data in files:
        try:
            if isinstance(data, HwnasError):
                raise data
            deployed[name] = as_run(data, target, name=name)
        except HwnasError as error:
            failed[name] = error
            continue
        if deployed[name] is not data:
            quantised.append(name)
    told: dict[str, Any] = {"log": log, "progress": log.progress}
    measured = without_failures(
        deployed, lambda models: lut.measure(target, models, home=home, **told), failed
    )
    able = {name: deployed[name] for name in measured}
    others = without_failures(
        able if resources else {},
        lambda models: lut.measure_resources(target, models, resources, **told),
        failed,
    )
    int8 = {"form": int8_form(target).text, "quantised": quantised} if target.precision == "int8" else None
    return {
        "target": target.described,
        "context": device_context(target, "").to_json(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "int8": int8,
        "models": {
            name: {**asdict(row), **others.get(name, {}), "notes": fed_notes(deployed[name])}
            for name, row in measured.items()
            if name not in failed
        },
        "failed": failures_json(failed),
    }


def bench_rows(document: Document) -> list[Row]:
    """A row per network: its latency, then its memory and energy where they were measured."""
    rows = []
    for name, model in document["models"].items():
        row = {NETWORK: name, **{column: model[column] for column in _COLUMNS}}
        for kind, values in _RESOURCES.items():
            if kind in model:
                row |= values(model[kind])
        rows.append(row)
    headings = dict.fromkeys(heading for row in rows for heading in row)
    return [{heading: row.get(heading) for heading in headings} for row in rows]


def bench_warnings(document: Document) -> list[str]:
    """Why a latency or an energy is unstable, and why an energy could not be measured, a line each."""
    unstable = [
        f"{name} is unstable: {row['reason']}"
        for name, row in document["models"].items()
        if row.get("reason")
    ]
    unstable += [
        f"the energy of {name} is unstable: {row['energy']['reason']}"
        for name, row in document["models"].items()
        if row.get("energy", {}).get("reason")
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


def bench_notes(document: Document) -> list[str]:
    """What the networks were fed where that is a guess, a line each."""
    return [f"{name}: {note}" for name, model in document["models"].items() for note in model["notes"]]


def conditions_line(document: Document) -> str:
    """What stands beside every latency; `--json` has all of the context."""
    facts, target = document["context"]["facts"], document["target"]
    threads = target["threads"]
    parts = [
        facts.get("cpu_model") or facts.get("cpu_hardware") or facts.get("machine", ""),
        f"onnxruntime {facts['ort_version']}" if facts.get("ort_version") else "",
        f"{target['provider']}, {threads} thread{'s' * (threads != 1)}, {target['precision']}",
    ]
    return f"on {target['name']}: {', '.join(str(part) for part in parts if part)}"


def _memory(row: Document) -> Row:
    return {
        "load_ms": row["load_ms"],
        "first_run_ms": row["first_run_ms"],
        "peak_mb": row["peak_bytes"] / 1e6,
        "file_mb": row["file_bytes"] / 1e6,
    }


def _energy(row: Document) -> Row:
    return {
        "energy_mj": row.get("energy_mj", "unavailable"),
        "of": row.get("part"),
        "energy_flag": row.get("flag"),
    }


LATENCY, FLAG = "p50_ms", "flag"
"""Headings."""

_COLUMNS = ("p20_ms", LATENCY, "p90_ms", "ci_low_ms", "ci_high_ms", "clock", FLAG, "n")
_RESOURCES = {"memory": _memory, "energy": _energy}
