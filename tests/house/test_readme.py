"""What the README promises beside its examples, which `test_examples.py` runs."""

import tomllib

from tests.support.pages import ROOT, blocks_of

README = ROOT / "README.md"
LINES = [line for block in blocks_of(README) if block.language == "sh" for line in block.lines()]


def test_the_set_up_is_one_command_each() -> None:
    assert "make demo" in LINES
    assert "make test" in LINES


def test_nothing_but_hwnas_make_and_the_set_up_is_shown() -> None:
    others = [line for line in LINES if line.split()[0] not in ("hwnas", "make", ".venv/bin/hwnas")]
    assert others == ["python3 -m venv .venv", ".venv/bin/pip install ."]


def test_readme_names_the_python_it_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">=3.11"
    assert "Python 3.11 or newer" in README.read_text(encoding="utf-8")
