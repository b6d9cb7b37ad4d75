"""One front over several finished searches of one space, one data set and one split.

Only networks that were trained to the end are compared, by what was measured of their files. Where the
searches were for several devices, each network has a latency on every one of them: measured where it was
searched for, else by the table of the other run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas.core.budget import latency_metrics
from hwnas.costs.cost_model import CostModel
from hwnas.front.pareto import non_dominated
from hwnas.runs.front_file import FrontPoint
from hwnas.runs.shapes import TableShape, require_shape
from targets.errors import InfeasibleError, UsageError
from targets.files import read_json, safe_name

from .finished_run import FinishedRun
from .main_job.devices import OTHERS, PREDICTED, RunTable

MEASURED = "measured"


def merge(paths: Sequence[Path]) -> dict[str, Any]:
    """The document of `hwnas front merge`; UsageError where the runs cannot be compared."""
    if len(paths) < 2:
        raise UsageError(f"give at least two runs to merge, got {len(paths)}")
    twice = next((p for i, p in enumerate(paths) if p.resolve() in {q.resolve() for q in paths[:i]}), None)
    if twice is not None:
        raise UsageError(f"{twice} is given twice; give each run once")
    runs = [FinishedRun.read(path) for path in paths]
    for other in runs[1:]:
        _require_same(runs[0], other)
    tables = {name: table for run in reversed(runs) for name, (_, table) in _devices(run).items()}
    names = list(dict.fromkeys(name for run in runs for name in _devices(run)))
    first, *others = names
    costs = CostModel(runs[0].space, tables[first], others={name: tables[name] for name in others})
    rows = [row for run in runs for row in _rows(run, names, costs)]
    if not rows:
        raise InfeasibleError("none of the runs holds a network that was trained to the end")
    merged = _once(rows)
    metrics = latency_metrics(names)
    keep = non_dominated([[*(row[m] for m in metrics), -row["val_accuracy"]] for row in merged])
    return {
        "runs": [str(path) for path in paths],
        "devices": names,
        "task": runs[0].task.name,
        "space": runs[0].front["space"],
        "train_epochs": {str(run.path): run.front.get("counts", {}).get("train_epochs") for run in runs},
        "front": [row for row, kept in zip(merged, keep, strict=True) if kept],
        "networks": merged,
    }


def _require_same(one: FinishedRun, other: FinishedRun) -> None:
    """UsageError that says in what two runs differ."""
    pair = f"{one.path} and {other.path} cannot be merged: "
    if one.space.space_id != other.space.space_id:
        raise UsageError(
            f"{pair}their spaces are {one.space.space_id} and {other.space.space_id}, which hold other "
            "networks"
        )
    if one.task.name != other.task.name:
        raise UsageError(f"{pair}they learn different things, {one.task.name} and {other.task.name}")
    for name, what in (("data", "data set"), ("digest", "images or labels"), ("image_size", "image size")):
        if one.splits.get(name) != other.splits.get(name):
            raise UsageError(f"{pair}the {what} differ ({one.splits.get(name)}, {other.splits.get(name)})")
    for split in ("train", "val", "test"):
        if one.splits.get(split) != other.splits.get(split):
            raise UsageError(
                f"{pair}their {split} images are not the same, so accuracies are of other images; runs of "
                "one --seed on the same data have one split"
            )
    batches = [run.options.get("batch", 1) for run in (one, other)]
    if batches[0] != batches[1]:
        raise UsageError(f"{pair}their latencies are of {batches[0]} and {batches[1]} images per inference")


def _devices(run: FinishedRun) -> dict[str, tuple[str, RunTable]]:
    """The devices of a run by name: the end of their columns among the measured ones, and their tables."""
    path, what = run.path / "table.json", "the latency table of the run"
    document = read_json(path, what)
    require_shape(document, TableShape, path, what)
    first = {safe_name(run.front["target"]["name"]): ("", RunTable.from_json(document))}
    others = document.get(OTHERS, {})
    return first | {name: (f"@{name}", RunTable.from_json(table)) for name, table in others.items()}


def _rows(run: FinishedRun, names: Sequence[str], costs: CostModel) -> list[dict[str, Any]]:
    """The trained networks of a run that belong to the space."""
    columns = {name: end for name, (end, _) in _devices(run).items()}
    points = [p for p in run.points if p.is_trained and p.origin != "mobilenet_v3"]
    values = costs.of([run.space.from_string(p.arch) for p in points]) if points else {}
    return [
        _row(run, p, columns, names, {m: float(column[i]) for m, column in values.items()})
        for i, p in enumerate(points)
    ]


def _row(
    run: FinishedRun,
    point: FrontPoint,
    columns: Mapping[str, str],
    names: Sequence[str],
    costs: Mapping[str, float],
) -> dict[str, Any]:
    measured = point.measured or {}
    latencies: dict[str, Any] = {}
    for name, metric in zip(names, latency_metrics(names), strict=True):
        end = columns.get(name)
        ms = None if end is None else measured.get(f"latency_p50_ms{end}")
        known = ms is not None and measured.get(f"clock{end}") != PREDICTED
        latencies[metric] = ms if known else costs[metric]
        latencies[f"{metric}_is"] = MEASURED if known else PREDICTED
    return {
        "network": point.arch_id,
        "run": str(run.path),
        "kind": point.pick or point.origin,
        "val_accuracy": measured["val_accuracy"],
        "test_accuracy": measured["test_accuracy"],
        **latencies,
        **{m: v for m, v in costs.items() if m not in latencies},
        "arch": point.arch,
    }


def _once(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each architecture once: of several trainings that with the best validation accuracy; fastest first."""
    best: dict[str, dict[str, Any]] = {}
    for row in rows:
        known = best.get(row["arch"])
        if known is None or row["val_accuracy"] > known["val_accuracy"]:
            best[row["arch"]] = row
    return sorted(best.values(), key=lambda row: float(row["latency_ms"]))
