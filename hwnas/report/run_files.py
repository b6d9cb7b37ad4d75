"""The files of a run directory that the report shows, read once into typed values.

A missing file is an empty value, because a run in progress is worth a page. A file that cannot be read is a
DamagedFileError, because a page must not leave something out in silence.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from hwnas.core.words import number
from hwnas.runs.front_file import BASELINES, BEST, MISTAKES_JSON, inside_names
from hwnas.tasks import CLASSIFICATION, Metric, task_named
from targets.errors import DamagedFileError
from targets.files import read_json

JsonObject = Mapping[str, Any]
"""An object of a JSON file, not checked yet."""
Describe = Callable[[str], Sequence[JsonObject]]
"""The blocks of an architecture string, as `blocks.parse_blocks` reads them."""


@dataclass(frozen=True, slots=True)
class Point:
    """One network of `front.json`.

    arch_id, arch: its short name, and the architecture as text.
    origin: what proposed it, or the baseline that it is.
    pick: which of the picks it is; empty for none.
    predicted, measured: the numbers that are known, with units in their names.
    clock, flag: how the latency was measured, and what was odd about it, with its reason.
    feasible: whether it is within every budget.
    blocks: what `blocks.parse_blocks` reads; empty where nothing describes the network.
    file: the exported file that the target runs, inside the run; None where there is none.
    failure: why it was not trained or exported.
    metric: what `accuracy` stands for in its names.
    reason: why it was picked, as a sentence.
    """

    arch_id: str
    arch: str
    origin: str
    pick: str
    predicted: Mapping[str, float]
    measured: Mapping[str, float]
    clock: str
    flag: str
    feasible: bool
    blocks: tuple[JsonObject, ...]
    file: str | None
    failure: str = ""
    metric: Metric = CLASSIFICATION.metric
    reason: str = ""

    @property
    def label(self) -> str:
        """What the point is called on the page."""
        if self.pick and self.origin == "gradient" and self.pick != "gradient":
            return f"{self.pick}, gradient search"
        return self.pick or {"mobilenet_v3": "MobileNetV3"}.get(self.origin, self.origin)

    @property
    def is_baseline(self) -> bool:
        """Not found by the search, but trained and measured beside it."""
        return self.origin in BASELINES


@dataclass(frozen=True, slots=True)
class RunFiles:
    """Everything the page is made of."""

    path: Path
    front: JsonObject
    points: tuple[Point, ...]
    stats: tuple[Mapping[str, str], ...]
    alphas: Mapping[str, list[list[float]]]
    config: JsonObject
    env: JsonObject
    manifests: Mapping[str, JsonObject]
    mistakes: JsonObject
    stages_done: tuple[str, ...]

    @property
    def metric(self) -> Metric:
        """The objective of the task; `accuracy` stands for it in names."""
        return task_named(self.front.get("task")).metric

    @property
    def part_metric(self) -> Metric:
        """What is told of some of the samples."""
        return task_named(self.front.get("task")).part_metric

    def rows(self, key: str) -> list[JsonObject]:
        """The list of objects under `key` of front.json; empty when it is not there yet."""
        return _rows(self.front, key)

    def part(self, key: str) -> JsonObject:
        """The object under `key` of front.json; empty when it is not there yet."""
        value = self.front.get(key) or {}
        if not isinstance(value, Mapping):
            raise DamagedFileError(f"front.json: {key!r} is not an object; restore or delete the file")
        return value


def read_run(path: Path, describe: Describe | None = None) -> RunFiles:
    """The run in `path`. `describe` draws architectures that no file of the run describes."""
    if not path.is_dir():
        raise DamagedFileError(f"run: {path} is not a directory; `hwnas search` makes one")
    front = _renamed(inside_names(_object(path / "front.json"))) or _front_so_far(path)
    manifests = {
        folder.name: _object(folder / "manifest.json")
        for folder in sorted(path.glob("models/*"))
        if folder.name != BEST and (folder / "manifest.json").is_file()
    }
    metric = task_named(front.get("task")).metric
    make = partial(_point, manifests=manifests, describe=describe, metric=metric)
    return RunFiles(
        path=path,
        front=front,
        points=tuple(make(row) for row in _rows(front, "points")),
        stats=_csv(path / "train_stats.csv"),
        alphas=_arrays(path / "alphas.npz"),
        config=_object(path / "config.resolved.json"),
        env=_object(path / "env.json"),
        manifests=manifests,
        mistakes=_object(path / MISTAKES_JSON),
        stages_done=tuple(file.stem for file in sorted(path.glob("stages/*.json"), key=_written)),
    )


def _numbers(value: Any) -> dict[str, float]:
    pairs = value.items() if isinstance(value, Mapping) else ()
    return {str(key): known for key, entry in pairs if (known := number(entry)) is not None}


def deployed(manifest: JsonObject) -> str:
    """The name of the file that the target runs: of two forms of a network the int8 one."""
    int8 = manifest.get("int8")
    return str(int8.get("file") or "model.onnx") if isinstance(int8, Mapping) else "model.onnx"


def _point(
    row: JsonObject, manifests: Mapping[str, JsonObject], describe: Describe | None, metric: Metric
) -> Point:
    arch_id, arch = str(row.get("arch_id", "")), str(row.get("arch", ""))
    measured = row.get("measured") or {}
    manifest = manifests.get(arch_id, {})
    blocks = row.get("blocks") or manifest.get("blocks") or ()
    if not blocks and describe and arch and row.get("origin") != "mobilenet_v3":
        blocks = describe(arch)
    return Point(
        arch_id=arch_id,
        arch=arch,
        origin=str(row.get("origin") or ""),
        pick=str(row.get("pick") or ""),
        predicted=_numbers(row.get("predicted")),
        measured=_numbers(measured),
        clock=str(measured.get("clock") or ""),
        flag=": ".join(str(measured[key]) for key in ("flag", "flag_reason") if measured.get(key)),
        feasible=bool(row.get("feasible", True)),
        blocks=tuple(blocks),
        file=f"models/{arch_id}/{deployed(manifest)}" if arch_id in manifests else None,
        failure=str(row.get("failure") or ""),
        metric=metric,
        reason=str(row.get("reason") or ""),
    )


_OLD_NAMES = {"val_accuracy_shared": "val_accuracy_search", "shared_vs_trained": "search_vs_trained"}


def _renamed(value: Any) -> Any:
    """The names of today in front.json of an older run."""
    if isinstance(value, Mapping):
        return {_OLD_NAMES.get(key, key): _renamed(entry) for key, entry in value.items()}
    return [_renamed(entry) for entry in value] if isinstance(value, list) else value


def _front_so_far(path: Path) -> JsonObject:
    """The part of front.json that the files of finished stages already hold."""
    table, evaluated = _object(path / "table.json"), _object(path / "evaluated.json")
    context = table.get("context")
    facts = context if isinstance(context, Mapping) else {}
    rows = [
        {
            "arch_id": row.get("arch"),
            "val_accuracy_search": _numbers(row.get("metrics")).get("val_accuracy"),
            "latency_ms": _numbers(row.get("metrics")).get("latency_ms"),
            "generation": row.get("generation"),
            "feasible": row.get("feasible", True),
        }
        for row in _rows(evaluated, "rows")
    ]
    target = {"context_hash": facts.get("hash"), "facts": facts.get("facts")}
    return {"target": target, "table": table.get("errors"), "evaluated": rows}


def _rows(front: JsonObject, key: str) -> list[JsonObject]:
    value = front.get(key) or []
    if not isinstance(value, list) or not all(isinstance(row, Mapping) for row in value):
        raise DamagedFileError(f"front.json: {key!r} is not a list of objects; restore or delete the file")
    return value


def _written(path: Path) -> float:
    return path.stat().st_mtime


def _object(path: Path) -> JsonObject:
    if not path.is_file():
        return {}
    value = read_json(path, "report")
    if not isinstance(value, Mapping):
        raise DamagedFileError(f"report: {path} does not hold an object; restore or delete it")
    return value


def _csv(path: Path) -> tuple[Mapping[str, str], ...]:
    if not path.is_file():
        return ()
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return tuple({k: v or "" for k, v in row.items() if k} for row in csv.DictReader(file))
    except (csv.Error, UnicodeDecodeError) as error:
        raise DamagedFileError(f"report: {path} is damaged ({error}); restore or delete it") from None


def _arrays(path: Path) -> dict[str, list[list[float]]]:
    """Each array of the file as nested lists (epochs, n_options); nothing in it is executed."""
    if not path.is_file():
        return {}
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {str(name): np.atleast_2d(arrays[name]).astype(float).tolist() for name in arrays.files}
    except (BadZipFile, EOFError, OSError, ValueError) as error:
        raise DamagedFileError(f"report: {path} is damaged ({error}); restore or delete it") from None
