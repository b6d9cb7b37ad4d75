"""A process of ours imports nothing from the folder in which a command is typed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from targets.own_process import own_command, own_environment
from tests.support.pages import ROOT

TRAP = "raise SystemExit('imported from the working directory')\n"
_STARTS_PYTHON = re.compile(r'sys\.executable,\s*"-[mc]"')


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder in which files bear the names of modules."""
    for package in ("hwnas", "profilers", "targets", "numpy", "onnxruntime"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(TRAP)
    for standard in ("json", "os", "pathlib", "random", "runpy", "tempfile", "time"):
        (tmp_path / f"{standard}.py").write_text(TRAP)
    return tmp_path


def run(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Exit code and standard error of the command there, on a Python that knows no PYTHONSAFEPATH."""
    known = {name: value for name, value in environment.items() if name != "PYTHONSAFEPATH"}
    nothing = subprocess.DEVNULL
    done = subprocess.run(command, cwd=folder, env=known, stdin=nothing, stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stderr


@pytest.mark.parametrize("module", ["profilers.kernels_child", "hwnas.executors.child_process"])
def test_what_lies_in_the_working_directory_is_not_run(module: str, trap: Path) -> None:
    assert run(own_command(module), trap, own_environment()) == (0, "")
    code, said = run([sys.executable, "-m", module], trap, own_environment())
    assert code != 0 and "imported from the working directory" in said  # so the folder is a trap


def test_a_module_gets_its_arguments_and_runs_as_main(trap: Path) -> None:
    code, said = run(own_command("profilers", "no such job"), trap, own_environment())
    assert code == 3 and "no such job" in said


def test_every_process_of_ours_starts_so() -> None:
    for package in ("hwnas", "lut", "profilers", "targets"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            starts = _STARTS_PYTHON.search(text) and path.name != "own_process.py"
            # torch's launcher wants Python 3.11 as all of hwnas does, so that the environment suffices
            assert not starts or (package == "hwnas" and "own_environment()" in text), path
