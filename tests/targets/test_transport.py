"""One function runs every command: its output, its input, its limits."""

from __future__ import annotations

import sys

import pytest

from targets.errors import TargetError
from targets.transport import Local, execute


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_output_code_and_words() -> None:
    code = "import sys; print(len(sys.stdin.buffer.read())); print('why', file=sys.stderr); sys.exit(3)"
    output = execute(Local(), python(code), stdin=b"x" * 1_000_000)
    assert (output.code, output.stdout, output.stderr) == (3, b"1000000\n", "why")


def test_lines_come_while_the_command_runs_and_its_input_stays_open() -> None:
    lines: list[bytes] = []
    code = "import sys; i = sys.stdin.buffer; n = int(i.readline()); print('a', flush=True); print(i.read(n))"
    output = execute(Local(), python(code), stdin=b"3\nabc", on_line=lines.append)
    assert (output.code, lines, output.stdout) == (0, [b"a\n", b"b'abc'\n"], b"")


def test_a_command_that_does_not_end_is_ended() -> None:
    with pytest.raises(TargetError, match="no end within 0 s"):
        execute(Local(), python("import sys; sys.stdin.read()"), timeout_s=0.3, on_line=lambda line: None)


def test_what_a_line_raises_ends_the_command_too() -> None:
    def refuse(line: bytes) -> None:
        raise ValueError(line)

    with pytest.raises(ValueError, match="a"):
        execute(Local(), python("import sys; print('a', flush=True); sys.stdin.read()"), on_line=refuse)


def test_programs_that_are_not_there() -> None:
    assert execute(Local(), ["/no/such/program"]).code == 127


def test_a_program_that_reads_nothing_gets_no_exception() -> None:
    assert execute(Local(), python("pass"), stdin=b"x" * 10_000_000).code == 0
