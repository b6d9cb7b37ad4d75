"""What a finished search found in a few lines, from `front.json` alone: what to think of it first."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from hwnas.tasks import task_named

from .front_file import BEST, front_points
from .verdict import verdict


def headings(front: Mapping[str, Any]) -> tuple[str, ...]:
    """Over the columns of `front_rows`."""
    label = task_named(front.get("task")).metric.label
    costs = ("p50 ms", "predicted ms", "size MB", "in budget")
    return ("network", "pick", f"val {label}", f"test {label}", *costs)


def _on_devices(columns: Mapping[str, Any], name: str) -> object:
    """The latency on the only device; of several, those on the others by name behind that on the first."""
    first = columns.get(name)
    others = {key.partition("@")[2]: value for key, value in columns.items() if key.startswith(f"{name}@")}
    if first is None or not others:
        return first
    return "; ".join([f"{first:.4g}", *(f"{device} {value:.4g}" for device, value in others.items())])


def front_rows(front: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """One row per trained network under `headings`, picks first, then by latency."""
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


def pick_lines(front: Mapping[str, Any]) -> list[str]:
    """Why each network was picked, a line each, in the order of `front_rows`."""
    reasons = {p.arch_id: p.reason for p in front_points(front) if p.pick and p.reason and p.is_trained}
    names = [str(row[0]) for row in front_rows(front)]
    return [f"{name}: {reasons[name]}" for name in names if name in reasons]


_MARKS = {"bad": "BAD ", "warn": "MIND", "good": "GOOD"}


def verdict_lines(front: Mapping[str, Any]) -> list[str]:
    """Each finding, with what to do below it; the worst first."""
    lines = []
    for finding in verdict(front):
        lines.append(f"{_MARKS[finding.level]}  {finding.sentence}")
        lines += [f"      {finding.advice}"] if finding.advice else []
    return lines


def growth_lines(front: Mapping[str, Any]) -> list[str]:
    """Before and after, of the chosen network, on the same test images; nothing where no data grew."""
    growth = front.get("growth")
    network = (growth or {}).get("networks", {}).get(front.get("chosen"))
    if growth is None or network is None:
        return []
    label, counts = task_named(front.get("task")).metric.label, growth["test_images"]
    lines = []
    for part, what in (("added", "new test images"), ("kept", "test images of before")):
        before, after = (network[when].get(f"test_accuracy_{part}") for when in ("before", "after"))
        if before is not None and after is not None:
            lines.append(f"{counts[part]} {what}: test {label} {before:.4f} before, {after:.4f} now")
    return [f"{front['chosen']} on data that grew:", *(f"  {line}" for line in lines)]


def next_commands(run: str, chosen: str, task: str | None) -> list[tuple[str, str]]:
    """(command, what it does) with a finished search.

    run: its folder. chosen: one of its networks. task: name of what they learn; None is classification.
    """
    model = shlex.quote(f"{run}/models/{BEST}/model.onnx")
    folder = shlex.quote(run)
    pick = shlex.quote(f"{run}/{chosen}")
    learned = task_named(task)
    formats = "" if learned.texts else ", also as fp16, int8 or .ort"
    return [
        (f"hwnas bench {model}", "measure the chosen network again"),
        (f"hwnas predict {model}", "what each of its kernels costs; once before: hwnas profile"),
        (f"hwnas train --pick {pick} --epochs 100", "train it longer"),
        (
            f"hwnas search --continue-from {folder} --train-epochs 100",
            "train all of them longer, with a report",
        ),
        (f"hwnas export {folder}", f"pack it for delivery{formats}"),
    ]
