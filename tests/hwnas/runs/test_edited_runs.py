"""Files of a finished search that were edited: each fault is named, by every command that reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cli
from hwnas.pipeline.merge import merge
from hwnas.runs.front_file import front_points, read_front
from lut import SpaceTable
from targets.errors import DamagedFileError
from tests.support.finished import write_finished, write_table

Edit = Callable[[dict[str, Any]], Any]


@pytest.fixture
def table(tmp_path: Path) -> SpaceTable:
    return write_table(tmp_path, "host", {"nor": 0.1})


def write_run(tmp_path: Path, table: SpaceTable) -> Path:
    trained = {0: (0.95, 0.94, 7.0), 1: (0.88, 0.87, 2.0)}
    return write_finished(tmp_path / "run", table, (0.9, 0.8, 0.5), trained)


def edit(path: Path, change: Edit) -> None:
    document = json.loads(path.read_text())
    changed = change(document)
    path.write_text(json.dumps(document if changed is None else changed))


def without(key: str, inside: Callable[[dict[str, Any]], dict[str, Any]]) -> Edit:
    def change(document: dict[str, Any]) -> None:
        del inside(document)[key]

    return change


def of_point(**values: Any) -> Edit:
    return lambda front: front["points"][0].update(values)


def of_measured(**values: Any) -> Edit:
    return lambda front: front["points"][0]["measured"].update(values)


FRONTS: dict[str, tuple[Edit, str]] = {
    "a list": (lambda front: [front], "is no front"),
    "a task that is a list": (lambda front: front.update(task=["x"]), "is no front"),
    "no points": (lambda front: front.update(points=None), "points"),
    "points that are a table": (lambda front: front.update(points={}), "points"),
    "a point without a name": (without("arch_id", lambda front: front["points"][0]), "points.0.arch_id"),
    "an architecture that is none": (of_point(arch=None), "points.0.arch"),
    "no predictions": (of_point(predicted=None), "points.0.predicted"),
    "a latency in words": (of_measured(latency_p50_ms="fast"), "latency_p50_ms must be a finite number"),
    "a latency as text": (of_measured(latency_p50_ms="1.0"), "latency_p50_ms must be a finite number"),
    "an accuracy that is no number": (of_measured(val_accuracy=float("nan")), "val_accuracy must be"),
    "an accuracy of 400 digits": (of_measured(val_accuracy=10**400), "val_accuracy must be"),
    "a missing accuracy": (of_measured(val_accuracy=None), "val_accuracy is missing"),
    "a target without a name": (lambda front: front.update(target={}), "target.name"),
    "an evaluation that is a number": (lambda front: front["evaluated"].append(5), "evaluated.3"),
    "a chosen number": (lambda front: front.update(chosen=3), "chosen"),
}


@pytest.mark.parametrize("name", FRONTS)
def test_an_edited_front_is_named_by_its_fault(name: str, tmp_path: Path, table: SpaceTable) -> None:
    change, said = FRONTS[name]
    run = write_run(tmp_path, table)
    edit(run / "front.json", change)
    with pytest.raises(DamagedFileError, match=said):
        read_front(run)


def test_keys_that_are_not_known_do_no_harm(tmp_path: Path, table: SpaceTable) -> None:
    run = write_run(tmp_path, table)
    edit(run / "front.json", lambda front: front["points"][0].update(of_a_later_version=1))
    assert len(front_points(read_front(run))) == 2


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("splits.json", lambda document: [], "splits of the run"),
        ("splits.json", without("val", lambda document: document), "val"),
        ("splits.json", lambda document: document.update(test=[1]), "test.0"),
        ("table.json", lambda document: {}, "intercept_ms"),
        ("table.json", lambda document: document.update(blocks_ms={"a": "b"}), "blocks_ms.a"),
        ("table.json", lambda document: document.update(blocks_ms={}), "has no block"),
        ("table.json", lambda document: document.update(others={"pi": {}}), "others.pi"),
    ],
)
def test_so_are_edited_splits_and_tables(
    file: str, change: Edit, said: str, tmp_path: Path, table: SpaceTable
) -> None:
    run = write_run(tmp_path, table)
    edit(run / file, change)
    whole = write_finished(tmp_path / "whole", table, (0.9,), {0: (0.95, 0.94, 7.0)})
    with pytest.raises(DamagedFileError, match=said):
        merge([run, whole])


@pytest.mark.parametrize(
    "line", ["rank RUN --target host", "front merge RUN RUN2", "export RUN", "train --pick RUN --epochs 9"]
)
def test_the_exit_code_is_that_of_a_damaged_file(line: str, tmp_path: Path, table: SpaceTable) -> None:
    run = write_run(tmp_path, table)
    edit(run / "front.json", FRONTS["no points"][0])
    words = [{"RUN": str(run), "RUN2": str(tmp_path)}.get(word, word) for word in line.split()]
    if "merge" in words:
        words[-1] = str(write_finished(tmp_path / "whole", table, (0.9,), {0: (0.95, 0.94, 7.0)}))
    assert cli.run([*words, *(["--home", str(tmp_path)] if "merge" not in words else [])]) == 3
