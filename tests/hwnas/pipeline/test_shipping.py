"""The last stage of a search: its chosen network exported for apps; a failure there costs nothing else."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hwnas.exporting.manifest import read_manifest
from hwnas.pipeline.main_job import STAGES
from hwnas.pipeline.main_job.shipping import ship_chosen
from hwnas.runs.identity import read_identity
from hwnas.runs.log import Log
from hwnas.runs.search_run import stored_config
from tests.support.exports import fake_costs, write_search

pytestmark = pytest.mark.slow


def context_of(run: Path, home: Path, log: Log) -> Any:
    config = stored_config(read_identity(run), run)
    return SimpleNamespace(path=run, config=config, home=home, run=SimpleNamespace(log=log))


def test_the_chosen_network_is_exported_into_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_costs(monkeypatch)
    assert STAGES[-1].work is ship_chosen
    write_search(tmp_path / "run", tmp_path / "home")
    said = io.StringIO()
    outcome = ship_chosen(context_of(tmp_path / "run", tmp_path / "home", Log(said)))
    manifest = read_manifest(tmp_path / "run/export")
    assert outcome.result == {"failure": None, "recommended": "model.onnx"}
    assert manifest["name"] == "n1" and (tmp_path / "run" / outcome.files[0]).is_file()
    assert "export/model.onnx" in said.getvalue()
    plain = json.loads((tmp_path / "run/models/n1/manifest.json").read_text())
    assert manifest["input"]["class_names"] == plain["class_names"]


def test_a_failure_is_a_warning_and_the_search_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_costs(monkeypatch)
    write_search(tmp_path / "run", tmp_path / "home")
    model = tmp_path / "run/models/n1/model.onnx"
    model.write_bytes(model.read_bytes()[:-1])
    said = io.StringIO()
    outcome = ship_chosen(context_of(tmp_path / "run", tmp_path / "home", Log(said)))
    assert "SHA-256" in outcome.result["failure"] and outcome.files == ()
    assert "hwnas export" in said.getvalue() and not (tmp_path / "run/export").exists()
