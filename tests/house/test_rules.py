"""Rules of the house that a tool or a walk over the syntax tree can check."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    [
        ROOT / "cli.py",
        *(p for d in ("targets", "profilers", "lut", "hwnas") for p in (ROOT / d).rglob("*.py")),
    ]
)
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml"}
FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "compile",
    "torch.load",
    "pd.read_pickle",
    "pandas.read_pickle",
    "os.system",
}
# An exception that torchvision's readers raise; to catch it one has to name it.
HARMLESS = {"pickle.UnpicklingError"}


def name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def uses(tree: ast.AST, module: str) -> set[str]:
    names = {name_of(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return {name for name in names if name.startswith(f"{module}.")}


def reads_tensors_only(call: ast.Call) -> bool:
    """torch.load with `weights_only=True` written out: its reader knows tensors and plain values."""
    given = {k.arg: k.value.value for k in call.keywords if isinstance(k.value, ast.Constant)}
    return name_of(call.func) == "torch.load" and given.get("weights_only") is True


def offences(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            names = []
        for name in names:
            if name.split(".")[0] in FORBIDDEN_MODULES and not (
                uses(tree, name) and uses(tree, name) <= HARMLESS
            ):
                yield f"imports {name}"
        if isinstance(node, ast.Call):
            if name_of(node.func) in FORBIDDEN_CALLS and not reads_tensors_only(node):
                yield f"calls {name_of(node.func)} in line {node.lineno}"
            for keyword in node.keywords:
                if keyword.arg in ("shell", "allow_pickle") and not (
                    isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                ):
                    yield f"passes {keyword.arg} in line {node.lineno}"


def test_the_walk_finds_what_it_looks_for() -> None:
    bad = """
import pickle
from yaml import load
import marshal
eval("1")
torch.load(f)
torch.load(f, weights_only=x)
torch.load(f, weights_only=True)
run(c, shell=True)
np.load(f, allow_pickle=x)
"""
    assert len(list(offences(ast.parse(bad)))) == 8
    assert list(offences(ast.parse("import pickle\nfaults = (pickle.UnpicklingError,)"))) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_executes_on_load(path: Path) -> None:
    assert list(offences(ast.parse(path.read_text(encoding="utf-8")))) == []


NEWER_THAN_39 = {("dataclass", "slots"), ("dataclass", "kw_only"), ("zip", "strict")}
NEWER_MODULES = {"tomllib"}


@pytest.mark.parametrize(
    "path",
    [p for p in SOURCES if p.relative_to(ROOT).parts[0] in ("targets", "profilers")],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_device_side_is_python_39(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    body = tree.body
    future = [n for n in body if isinstance(n, ast.ImportFrom) and n.module == "__future__"]
    assert future or not any(isinstance(n, (ast.FunctionDef, ast.ClassDef)) for n in body)
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Match)
        if isinstance(node, ast.Call):
            used = {(name_of(node.func).split(".")[-1], keyword.arg) for keyword in node.keywords}
            assert not used & NEWER_THAN_39, f"line {node.lineno}"
    at_import = {a.name for n in body if isinstance(n, ast.Import) for a in n.names}
    assert not at_import & NEWER_MODULES


def test_folders_say_what_lives_in_them() -> None:
    packages = [p for p in SOURCES if p.name == "__init__.py"]
    assert [p for p in packages if not ast.get_docstring(ast.parse(p.read_text(encoding="utf-8")))] == []


TESTS = sorted((ROOT / "tests").rglob("*.py"))
# Names of other libraries that have no public door.
FOREIGN = {
    "_get_generation_key": "where Optuna's NSGA-II keeps the generation of a trial, which ours writes too",
    "_urlretrieve": "what torchvision downloads with, so that a test has no network",
    "_dynamo": "the counters of torch.compile are documented under this name",
    "_python_dispatch": "torch's documented way to see every operation",
    "_repr_html_": "what a notebook calls to show an object",
}


def private_names(tree: ast.AST) -> Iterator[str]:
    """Names with a leading underscore that are imported, read off another object or patched as text."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Attribute) and name_of(node.value) not in ("self", "cls"):
            names = [node.attr]
        elif isinstance(node, ast.Call) and name_of(node.func).split(".")[-1] in ("setattr", "getattr"):
            arguments = (a.value for a in node.args[:2] if isinstance(a, ast.Constant))
            names = [value for value in arguments if isinstance(value, str)]
        for part in ".".join(names).split("."):
            if part.startswith("_") and not part.startswith("__"):
                yield part


def test_the_walk_finds_private_names() -> None:
    bad = """
from hwnas._a import b
from hwnas.a import _c
import torch._d.utils
x._e.f = super()._g()
patch.setattr(x, "_h", 1)
monkeypatch.setattr("hwnas.a._i", 1)
"""
    assert sorted(private_names(ast.parse(bad))) == ["_a", "_c", "_d", "_e", "_g", "_h", "_i"]
    good = "from __future__ import annotations\nself._a = cls._b = x.__path__\ngetattr(x, name)"
    assert list(private_names(ast.parse(good))) == []


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_tests_read_public_names_only(path: Path) -> None:
    used = set(private_names(ast.parse(path.read_text(encoding="utf-8"))))
    assert used - set(FOREIGN) == set(), "test it through a public name, or make the name public"
