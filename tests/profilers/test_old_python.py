"""What travels to a board runs on Python 3.9: by its syntax, and in earnest where there is one.

HWNAS_OLD_PYTHON names an interpreter; else `python3.9` of the PATH and those of pyenv are tried. A job needs
`pip install numpy onnxruntime`, best in an environment of its own.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import profilers
import targets
from lut.devices.archive import code_archive
from profilers import Job, read_rows

pytestmark = pytest.mark.slow


FILES = sorted(p for m in (profilers, targets) for p in Path(m.__file__ or "").parent.glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_syntax_and_lazy_annotations(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    imported = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    annotated = any(isinstance(node, (ast.FunctionDef, ast.AnnAssign)) for node in ast.walk(tree))
    assert not annotated or imported.get("annotations") == "__future__"
    top_level = {a.name for node in tree.body if isinstance(node, ast.Import) for a in node.names}
    assert "tomllib" not in top_level
    calls = [
        n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "dataclass"
    ]
    assert not {k.arg for c in calls for k in c.keywords} & {"slots", "kw_only"}  # of Python 3.10


def old_python(*packages: str) -> str:
    """A Python 3.9 that can import these packages; the test is skipped where there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [os.environ.get("HWNAS_OLD_PYTHON"), shutil.which("python3.9")]
    found += map(str, sorted(pyenv.glob("versions/3.9.*/bin/python")))
    check = f"import sys, {', '.join(packages or ('json',))}; sys.exit(sys.version_info[:2] != (3, 9))"
    for python in filter(None, found):
        if subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0:
            return python
    pytest.skip(f"no Python 3.9 with {' and '.join(packages) or 'its library'}; HWNAS_OLD_PYTHON names one")


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder that holds the code of a board and nothing else."""
    for path in FILES:
        copy = tmp_path / "board" / path.parent.name / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    return tmp_path / "board"


def test_targets_are_imported_without_any_package(copied: Path) -> None:
    modules = ", ".join(f"targets.{p.stem}" for p in FILES if p.parent.name == "targets")
    command = [old_python(), "-I", "-c", f"import sys; sys.path[:0] = ['{copied}']; import {modules}"]
    subprocess.run(command, check=True)


def test_a_job_is_measured(copied: Path, make_job: Callable[..., Job]) -> None:
    job = make_job(2, seconds=60.0, max_rounds=4)
    python = old_python("numpy", "onnxruntime")
    subprocess.run([python, "-m", "profilers", str(job.folder)], cwd=copied, check=True)
    assert {row["key"] for row in read_rows(job.rows_path)} == {"conv 0", "conv 1"}


def test_the_archive_answers(tmp_path: Path) -> None:
    (tmp_path / "code.zip").write_bytes(code_archive())
    command = [old_python("numpy", "onnxruntime"), str(tmp_path / "code.zip"), "inventory", str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert '"python": "3.9.' in answer
