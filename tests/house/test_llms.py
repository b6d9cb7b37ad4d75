"""The page for programs names every command, and no command or option that there is not."""

from __future__ import annotations

import re

import pytest
import typer
from typer.testing import CliRunner

from hwnas.commands.app import TOPICS, app
from hwnas.commands.documents.schemas import PRINTED
from tests.support.pages import ROOT

TEXT = (ROOT / "docs" / "llms.txt").read_text(encoding="utf-8")
LINES = re.findall(r"`hwnas ([^`]+)`", TEXT)
GROUPS = {name for topic in TOPICS.values() for name, c in topic.items() if isinstance(c, typer.Typer)}


def command_of(line: str) -> tuple[str, ...]:
    words = [word for word in line.split() if re.fullmatch(r"[a-z]+", word)]
    return tuple(words[:2] if words[0] in GROUPS else words[:1])


@pytest.mark.parametrize("line", LINES)
def test_the_commands_and_their_options_exist(line: str) -> None:
    shown = CliRunner().invoke(app, [*command_of(line), "--help"])
    assert shown.exit_code == 0, shown.output
    for option in re.findall(r"--[a-z-]+", line):
        assert option in shown.output


def test_every_command_is_there() -> None:
    names = {name for topic in TOPICS.values() for name in topic}
    assert names - {command_of(line)[0] for line in LINES} == set()


def test_every_document_has_its_command_there() -> None:
    assert {tuple(name.split()) for name in PRINTED} - {command_of(line) for line in LINES} == set()


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert (ROOT / "docs" / link).exists(), link


def test_further_options_belong_to_the_command_of_their_entry() -> None:
    for entry in re.split(r"\n- ", TEXT):
        here = re.findall(r"`hwnas ([^`]+)`", entry)
        for option in re.findall(r"`(--[a-z-]+)", entry) if here else ():
            shown = [CliRunner().invoke(app, [*command_of(line), "--help"]).output for line in here]
            assert any(option in text for text in shown), (option, here)
