"""The device's end of a connection: takes jobs, runs `python -m profilers`, hands rows back one by one.

Commands come as arguments, data on standard input, answers as lines that begin with `hwnas ` on standard
output, so that the greeting of a talkative shell does no harm. Neither numpy nor onnxruntime is loaded here.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Callable

from targets.conditions import conditions, read_text
from targets.errors import TargetError
from targets.own_process import own_command, own_environment

from .guard import guarded, log
from .job import ROWS
from .rows import append_rows, cut_torn_line, identity, read_rows
from .store import Store

ANSWER = b"hwnas "
"""How every line of an answer begins."""

CONDITIONS = "conditions"
"""Key of the lines that say how the device was at the start and at the end of a run."""

_TAKEOVER_S, _TERMINATED = 30.0, 143


def main(arguments: list[str] | None = None) -> int:
    """The exit code of one command: those of `python -m profilers`."""
    name, *rest = sys.argv[1:] if arguments is None else arguments
    return guarded(lambda: _COMMANDS[name](*rest))


def _facts() -> int:
    from .facts import device_facts

    return _answer(device_facts())


def _inventory(folder: str) -> int:
    from .facts import inventory

    return _answer(inventory(_path(folder)))


def _place(folder: str, job_id: str) -> int:
    """Standard input: the manifest. Answers what is missing, or where the job is ready."""
    store, raw = Store(_path(folder)), sys.stdin.buffer.read()
    missing = store.missing(json.loads(raw))
    return _answer({"missing": missing} if missing else {"job": str(store.place(job_id, raw))})


def _receive(folder: str) -> int:
    return _answer({"received": Store(_path(folder)).receive(sys.stdin.buffer)})


def _drop(folder: str, job_id: str) -> int:
    Store(_path(folder)).drop(job_id)
    return _answer({"dropped": job_id})


def _run(job: str) -> int:
    """Standard input: a size, and as many bytes of rows that the other side has; open until it goes."""
    folder = Path(job)
    size = int(sys.stdin.buffer.readline() or b"0")
    theirs = [json.loads(line) for line in sys.stdin.buffer.read(size).splitlines()]
    path = folder / ROWS
    with _alone(folder) as lock:
        cut_torn_line(path)
        _merge(path, theirs)
        _answer({CONDITIONS: {"when": "start", **conditions()}})
        code = _measure(folder, _Tail(path), lock)
        _answer({CONDITIONS: {"when": "end", **conditions()}})
    return code


def _merge(path: Path, theirs: list[dict[str, Any]]) -> None:
    """Give both sides the rows that only one has, so that nothing is measured twice."""
    ours = read_rows(path)
    here, there = ({identity(row) for row in rows} for rows in (ours, theirs))
    lacking = [row for row in theirs if identity(row) not in here]
    if lacking:
        append_rows(path, lacking)
    for row in ours:
        if identity(row) not in there:
            _answer(row)


def _measure(folder: Path, tail: _Tail, lock: int) -> int:
    """Run the profiler as a process of its own, which this one outlives to say how it ended."""
    child = subprocess.Popen(
        own_command("profilers", str(folder)),
        env={**own_environment(), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=[lock],
    )
    threading.Thread(target=_end_with_input, args=(child,), daemon=True).start()
    try:
        for line in child.stderr or ():
            tail.send()
            log(line.rstrip())
        code = child.wait()
    finally:
        child.kill()
        child.wait()
    tail.send()
    if code < 0:
        memory = " (out of memory?)" if code == -signal.SIGKILL else ""
        raise TargetError(f"the profiler was ended by signal {-code}{memory}; run again to go on")
    return code


class _Tail:
    """Answers with the rows that were appended since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size if path.exists() else 0

    def send(self) -> None:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            raw = file.read()
        whole = raw[: raw.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            _write(line)


def _end_with_input(child: subprocess.Popen[str]) -> None:
    """Nobody listens any more once standard input ends: measuring on would only disturb the next run."""
    # os.read: a thread that waits inside sys.stdin would block the end of the process.
    while os.read(0, 4096):
        pass
    child.kill()


@contextmanager
def _alone(folder: Path) -> Iterator[int]:
    """The lock of the job, taken over from a run whose connection is gone. Yields its descriptor."""
    import fcntl

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    with (folder / ".lock").open("a+") as file:
        until = time.monotonic() + _TAKEOVER_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise TargetError(f"another process measures in {folder} and does not end") from None
                _ask_to_end(file)
                time.sleep(0.1)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield file.fileno()


def _ask_to_end(file: IO[str]) -> None:
    """SIGTERM to the process that wrote its number into the lock, if that still is one of these."""
    file.seek(0)
    text = file.read().strip()
    command = read_text(Path("/proc") / text / "cmdline") if text.isdigit() else None
    if command and "\0run\0" in command:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(int(text), signal.SIGTERM)


def _path(folder: str) -> Path:
    return Path(folder).expanduser().absolute()


def _answer(value: Mapping[str, Any]) -> int:
    _write(json.dumps(value, sort_keys=True, allow_nan=False).encode())
    return 0


def _write(line: bytes) -> None:
    sys.stdout.buffer.write(ANSWER + line + b"\n")
    sys.stdout.buffer.flush()


_COMMANDS: Mapping[str, Callable[..., int]] = {
    "facts": _facts,
    "inventory": _inventory,
    "place": _place,
    "receive": _receive,
    "drop": _drop,
    "run": _run,
}

if __name__ == "__main__":
    sys.exit(main())
