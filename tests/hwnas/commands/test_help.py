"""Every command explains itself, and `hwnas --help` answers at once."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner

from hwnas.commands.app import app
from hwnas.runs.config import SearchConfig, option_name

MAX_HELP_S = 0.5


def commands(group: typer.Typer, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for info in group.registered_commands:
        assert info.callback is not None
        yield (*path, info.name or info.callback.__name__)
    for sub in group.registered_groups:
        assert sub.typer_instance is not None
        yield from commands(sub.typer_instance, (*path, str(sub.name)))


@pytest.mark.parametrize("path", list(commands(app)), ids=lambda path: " ".join(path) or "hwnas")
def test_help_of_every_command(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*path, "--help"])
    assert shown.exit_code == 0
    lines = shown.output.splitlines()
    assert lines[0].startswith("Usage: ")
    assert lines[2].strip(), "the command does not say what it does"


def test_search_has_an_option_for_every_field_of_the_config() -> None:
    output = CliRunner().invoke(app, ["search", "--help"]).output
    for field in dataclasses.fields(SearchConfig):
        assert f"\n  {option_name(field.name)} " in output


def test_help_is_quick() -> None:
    """CPU seconds, the least of five: the machine of a test has other work."""
    taken_s = []
    for _ in range(5):
        before_s = _children_s()
        subprocess.run([sys.executable, "-m", "cli", "--help"], check=True, capture_output=True)
        taken_s.append(_children_s() - before_s)
    assert min(taken_s) <= MAX_HELP_S


def _children_s() -> float:
    times = os.times()
    return times.children_user + times.children_system
