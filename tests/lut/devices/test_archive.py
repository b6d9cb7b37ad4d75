"""The code that travels: the same bytes each time, and complete in itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from lut.devices.archive import archive_name, code_archive


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
