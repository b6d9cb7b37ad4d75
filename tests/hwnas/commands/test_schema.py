"""What the commands print with --json is what `hwnas schema` says."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer

import cli
import lut
from hwnas.commands.app import app
from hwnas.commands.documents.schemas import PRINTED, BenchModelDocument, adapter
from hwnas.runs.config import SearchConfig
from hwnas.runs.front_file import FrontPoint
from hwnas.runs.log import Log
from hwnas.runs.search_run import create_search
from hwnas.runs.verdict import Finding
from targets import load_target
from tests.support.homes import chain_of_products, write_predictor, write_space_table

ROW = lut.Measurement(0.5, 0.6, 0.9, 0.58, 0.62, "cpu", "ok", 50)
BOARD = {"cpu_model": "Cortex-A76", "ort_version": "1.0"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model and a run, and a home with tables."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HWNAS_HOME", str(tmp_path / "home"))
    write_predictor(tmp_path / "home", load_target("host"))
    write_space_table(tmp_path / "home", "pi", BOARD, "mobile-32px")
    Path("a.onnx").write_bytes(chain_of_products(2, [4, 32]))
    Path("b.onnx").write_bytes(b"")
    with create_search(Path("run"), SearchConfig(), log=Log(quiet=True)) as run:
        run.finish_stage("splits", {})
    monkeypatch.setattr(lut, "measure", lambda target, models, **_: dict.fromkeys(models, ROW))
    return tmp_path / "home"


@pytest.mark.parametrize(
    "line",
    [
        "predict a.onnx",
        "predict a.onnx b.onnx",
        "bench a.onnx b.onnx --no-memory",
        "status run",
        "doctor",
        "data check digits",
        "targets list",
        "targets show host",
        "targets check host",
        "tables list",
        "tables show host",
        "tables show pi",
        "tables export pi --out pi.hwnas",
        "spaces",
        "methods",
        "methods show darts",
        "strategies",
        "strategies show nsga2",
    ],
)
def test_real_output_is_as_the_schema_says(line: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([*line.split(), "--json"]) == (3 if "b.onnx" in line else 0)
    words = line.split()
    name = " ".join(words[:2]) if " ".join(words[:2]) in PRINTED else words[0]
    adapter(name).validate_json(capsys.readouterr().out)


def test_an_import_too(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["tables", "export", "pi", "--out", "pi.hwnas"]) == 0
    capsys.readouterr()
    assert cli.run(["tables", "import", "pi.hwnas", "--home", str(tmp_path / "other"), "--json"]) == 0
    adapter("tables import").validate_json(capsys.readouterr().out)


def test_a_point_of_the_front_is_as_it_is_written() -> None:
    point = FrontPoint(
        arch_id="a", arch="x", origin="front", pick="knee", predicted={}, measured=None, feasible=True
    )
    finding = Finding("warn", "random_ties", "A random network ties.", "Search longer.")
    document = {"verdict": [finding.to_json()], "front": {"points": [point.to_json()]}}
    adapter("search").validate_python({"run": "runs/a", **document})


@pytest.mark.parametrize("command", PRINTED)
def test_every_command_has_a_schema(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["schema", *command.split()]) == 0
    schema: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert schema["title"] == f"hwnas {command} --json"
    assert schema.keys() & {"properties", "items", "anyOf"}


def test_every_command_that_prints_json_has_one() -> None:
    with_json = {name for name in leaves(typer.main.get_command(app), "") if name}
    assert with_json == set(PRINTED)


def leaves(command: Any, path: str) -> list[str]:
    """Names of the commands that take --json, below this one."""
    inner = getattr(command, "commands", {})
    own = [path] if any("--json" in parameter.opts for parameter in command.params) else []
    return own + [leaf for name, c in inner.items() for leaf in leaves(c, f"{path} {name}".strip())]


def test_unknown_commands_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["schema", "predct"]) == 2
    assert "did you mean 'predict'" in capsys.readouterr().err
    assert cli.run(["schema"]) == 0
    assert capsys.readouterr().out.split("\n")[:-1] == list(PRINTED)


def test_bench_states_all_of_a_measurement() -> None:
    assert {field.name for field in fields(lut.Measurement)} <= BenchModelDocument.model_fields.keys()
