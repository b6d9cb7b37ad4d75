"""What travels to a board must parse, and evaluate its annotations, on Python 3.9."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import profilers
import targets

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
