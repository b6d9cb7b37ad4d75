"""Run a command on a device: one function for all transports, which differ in two small methods.

A transport says which command of this machine runs a command on the device, and what a failure means.
Commands are argument lists; where a shell of the device reads a line, `shlex.join` quotes them.
"""

from __future__ import annotations

import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Callable, Protocol

from .errors import TargetError

NOT_FOUND = 127
"""The exit code of shells and `env` for a program that does not exist; 126 for one that cannot be run."""

_KEPT_LINES = 40
_END_S = 3.0


@dataclass(frozen=True)
class Output:
    """The result of a command: its exit code, its standard output, the last lines of its standard error."""

    code: int
    stdout: bytes
    stderr: str


class Transport(Protocol):
    """How commands get to a device."""

    def wrap(self, command: Sequence[str]) -> list[str]:
        """The command of this machine that runs `command` on the device."""
        ...

    def fault(self, output: Output) -> TargetError | None:
        """What went wrong with the connection; None where the command itself failed, or nothing did."""
        ...


@dataclass(frozen=True)
class Local:
    """This machine."""

    def wrap(self, command: Sequence[str]) -> list[str]:
        """The command unchanged."""
        return list(command)

    def fault(self, output: Output) -> TargetError | None:
        """None: there is no connection."""
        return None


def execute(
    transport: Transport,
    command: Sequence[str],
    *,
    stdin: bytes = b"",
    timeout_s: float = 60.0,
    on_line: Callable[[bytes], None] | None = None,
) -> Output:
    """Run `command` on the device until it ends; TargetError when it does not within `timeout_s`.

    transport: how to get to the device.
    command: the argument list.
    stdin: written to its standard input.
    timeout_s: limit on wall time.
    on_line: called for each line of standard output as it comes; the output is then not kept. Standard input
        stays open after `stdin`, so that the device recognises a lost connection: its input ends.
    """
    arguments = transport.wrap(command)
    try:
        process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except FileNotFoundError:
        return _checked(transport, Output(NOT_FOUND, b"", f"{arguments[0]}: not found"))
    except OSError as error:
        return _checked(transport, Output(NOT_FOUND - 1, b"", f"{arguments[0]}: {error.strerror}"))
    last_lines: deque[str] = deque(maxlen=_KEPT_LINES)
    kept: list[bytes] = []
    feeder = threading.Thread(target=_feed, args=(process.stdin, stdin, on_line is None), daemon=True)
    listener = threading.Thread(target=_listen, args=(process.stderr, last_lines), daemon=True)
    expired = threading.Event()

    def end() -> None:
        expired.set()
        _end(process, feeder)

    guard = threading.Timer(timeout_s, end)
    try:
        for thread in (guard, feeder, listener):
            thread.start()
        for line in process.stdout or ():
            (on_line or kept.append)(line)
        code = process.wait()
        listener.join()
    finally:  # after Ctrl-C too, nothing is left running
        guard.cancel()
        _end(process, feeder)
    if expired.is_set():
        raise TargetError(f"{' '.join(arguments[:1])}: no end within {timeout_s:.0f} s; ended it")
    return _checked(transport, Output(code, b"".join(kept), "\n".join(last_lines)))


def _checked(transport: Transport, output: Output) -> Output:
    fault = transport.fault(output)
    if fault is not None:
        raise fault
    return output


def _end(process: subprocess.Popen[bytes], feeder: threading.Thread) -> None:
    """Close the input, which ends what runs on the device; kill the process where that does not suffice."""
    if not feeder.is_alive():
        _close(process.stdin)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
    process.kill()
    process.wait()
    feeder.join()
    for pipe in (process.stdin, process.stdout):
        _close(pipe)


def _feed(pipe: IO[bytes], data: bytes, close: bool) -> None:
    try:
        pipe.write(data)
        pipe.flush()
    except (OSError, ValueError):  # the command ended without reading all: its exit code tells more
        return
    if close:
        _close(pipe)


def _listen(pipe: IO[bytes], last_lines: deque[str]) -> None:
    with pipe:
        last_lines.extend(text for text in (line.decode(errors="replace").rstrip() for line in pipe) if text)


def _close(pipe: IO[bytes] | None) -> None:
    with suppress(OSError):  # what was still buffered for a process that is gone
        if pipe is not None:
            pipe.close()
