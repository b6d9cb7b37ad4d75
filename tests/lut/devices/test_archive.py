"""The code that travels: the same bytes each time, and complete in itself."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lut.devices.archive import archive_name, code_archive
from lut.devices.python_device import PythonDevice
from targets import load_target
from tests.support.logs import silent


def test_the_same_bytes_each_time() -> None:
    first = code_archive()
    code_archive.cache_clear()
    assert code_archive() == first
    assert len(first) < 1_000_000


def test_it_runs_where_nothing_of_the_project_is_installed(tmp_path: Path) -> None:
    path = tmp_path / archive_name()
    path.write_bytes(code_archive())
    command = [sys.executable, "-I", str(path), "inventory", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    found = json.loads(done.stdout.removeprefix("hwnas "))
    assert found["folder"] == str(tmp_path)
    assert "CPUExecutionProvider" in found["providers"]


def test_it_is_put_there_whatever_lies_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "os", "pathlib", "time", "profilers"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the working directory')\n")
    host = load_target("host")
    board = replace(host, reach=replace(host.reach, python=sys.executable, folder=str(tmp_path / "board")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)  # Python 3.9 and 3.10 do not know it
    assert PythonDevice(board, silent).inventory()["folder"] == str(tmp_path / "board")
