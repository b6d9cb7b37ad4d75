"""Every command that the README shows exists, with every option it is given."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cli

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
LINES = [line for block in BLOCKS for line in block.splitlines() if line.strip()]
HWNAS = [line for line in LINES if re.match(r"(\S*/)?hwnas ", line)]
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))


def test_the_set_up_is_one_command_each() -> None:
    assert "make demo" in LINES
    assert "make test" in LINES


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("make ")])
def test_make_targets_exist(line: str) -> None:
    assert line.split()[1] in TARGETS


@pytest.mark.parametrize("line", HWNAS)
def test_commands_and_options_exist(line: str) -> None:
    words = shlex.split(line)[1:]
    commands = [word for word in words if re.fullmatch(r"[a-z]+", word)]
    shown = CliRunner().invoke(cli.app, [*commands, "--help"])
    assert shown.exit_code == 0, shown.output
    for option in (word for word in words if word.startswith("-")):
        assert option in shown.output


def test_nothing_else_is_shown() -> None:
    others = [line for line in LINES if line not in HWNAS and not line.startswith("make ")]
    assert others == ["python3 -m venv .venv", ".venv/bin/pip install ."]


def test_readme_names_the_python_it_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">=3.11"
    assert "Python 3.11 or newer" in (ROOT / "README.md").read_text(encoding="utf-8")
