"""What commands print on stdout: columns that read well, and silence where nobody reads on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hwnas.commands.output import print_table

ROOT = Path(__file__).parents[3]


def test_numbers_stand_on_the_right_and_words_on_the_left(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(
        ("network", "ms", "share", "flag"),
        [("a", 12.5, "3.0 %", "ok"), ("long", 1, None, None), ("b", None, "20.1 %", "2 kinds")],
    )
    assert capsys.readouterr().out == (
        "network    ms   share  flag\n"
        "a        12.5   3.0 %  ok\n"
        "long        1       -  -\n"
        "b           -  20.1 %  2 kinds\n"
    )


def test_words_and_numbers_in_one_column_stand_on_the_left(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("what", "value"), [("epochs", 600), ("folder", "runs/a")])
    assert capsys.readouterr().out == "what    value\nepochs  600\nfolder  runs/a\n"


@pytest.mark.slow
@pytest.mark.parametrize("line", ["methods", "spaces", "methods --json", "search --help"])
def test_a_reader_that_leaves_ends_the_command_in_silence(line: str) -> None:
    """`true` reads nothing at all: the output that fits in the buffer, and the one that does not."""
    script = f'"$0" -m cli {line} | true; echo "${{PIPESTATUS[0]}}"'
    done = subprocess.run(
        ["bash", "-c", script, sys.executable], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout in ("141\n", "0\n")
    assert done.stderr == ""


def test_what_the_encoding_of_stdout_lacks_is_written_in_ascii(tmp_path: Path) -> None:
    """Names of classes and files may hold bytes that are no text at all; a table of them is no bug."""
    method = tmp_path / "mine.toml"
    method.write_text('name = "mine"\ntitle = "naïve"\n', encoding="utf-8")
    command = [sys.executable, "-m", "cli", "methods", "show", str(method)]
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, env=ascii_only, capture_output=True, text=True, check=False)
    assert (done.returncode, "na\\xefve" in done.stdout) == (0, True), done.stderr
