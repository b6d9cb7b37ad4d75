"""A process of ours imports nothing from the folder in which a command is typed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from targets.own_process import own_environment
from tests.support.pages import ROOT

TRAP = "raise SystemExit('imported from the working directory')\n"
_STARTS_PYTHON = re.compile(r'sys\.executable,\s*"-[mc]"')


@pytest.mark.parametrize("module", ["profilers.kernels_child", "hwnas.executors.child_process"])
def test_what_lies_in_the_working_directory_is_not_run(module: str, tmp_path: Path) -> None:
    for package in ("hwnas", "profilers", "targets"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(TRAP)
    for standard in ("json", "random", "tempfile"):
        (tmp_path / f"{standard}.py").write_text(TRAP)
    done = subprocess.run(
        [sys.executable, "-m", module],
        cwd=tmp_path,
        env=own_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_process_of_ours_starts_so() -> None:
    for package in ("hwnas", "lut", "profilers", "targets"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert not _STARTS_PYTHON.search(text) or "own_environment()" in text, path
