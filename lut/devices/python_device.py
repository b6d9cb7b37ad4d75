"""Measure on a device that has Python: send code and files there, take rows as they come."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import targets
from profilers import Job, read_rows
from profilers.job import MANIFEST
from profilers.remote import ANSWER, CONDITIONS
from profilers.row_check import checked_rows
from profilers.rows import RowIdentity, append_rows, cut_torn_line, identity
from profilers.run import MEASURED, wanted_rows
from profilers.store import wanted
from targets import Target
from targets.connect import connect
from targets.errors import ConnectionLostError, DamagedFileError, HwnasError, TargetError, UsageError
from targets.files import read_json, sha256
from targets.own_process import WITHOUT_WORKING_DIRECTORY
from targets.transport import NOT_FOUND, Output, execute

from .archive import archive_name, code_archive
from .callbacks import LogCallback, SleepCallback
from .conditions import note_conditions
from .reconnect import retry_when_lost

GRACE_S = 60.0
"""How much longer than its limit a profiler may run: imports and one slow run on a slow board."""

FOLDER = "~/.cache/hwnas"
ASK_S, _SEND_S = 120.0, 1800.0
_BATCH_BYTES = 32 << 20
_BOOTSTRAP = WITHOUT_WORKING_DIRECTORY + (
    Path(targets.__file__ or "").with_name("bootstrap.py").read_text(encoding="utf-8")
)

_NO_FACTS: Mapping[str, Any] = MappingProxyType({})

_ERRORS: Mapping[int, type[HwnasError]] = {2: UsageError, 3: DamagedFileError, 4: TargetError}


class PythonDevice:
    """This machine, or one behind ssh. It is contacted at the first method call, not before."""

    def __init__(
        self, target: Target, log: LogCallback, sleep: SleepCallback = time.sleep, *, ask_s: float = ASK_S
    ) -> None:
        """`log` is told of lost connections; `sleep` waits before a new try; `ask_s`: limit on an answer."""
        self._target, self._log, self._sleep, self._ask_s = target, log, sleep, ask_s
        self._transport = connect(target)
        self._shared = target.reach.transport == "local"
        self._python = target.reach.python or (sys.executable if self._shared else "python3")
        self._folder = target.reach.folder or FOLDER
        self._code = ""

    def contact(self) -> None:
        """Reach the device and measure nothing there; TargetError when that fails."""
        execute(self._transport, ["true"], timeout_s=self._ask_s)

    def facts(self) -> Mapping[str, Any]:
        """Facts of the device, its system and its runtime, for the context."""
        return _mapping(self.ask("facts"), self._target)

    def inventory(self) -> Mapping[str, Any]:
        """What is there of all that measuring needs (`profilers.facts.inventory`)."""
        return _mapping(self.ask("inventory", self._folder), self._target)

    def measure(self, job: Job, advance: Callable[[], None], facts: Mapping[str, Any] = _NO_FACTS) -> None:
        """Complete the rows in the job's file; rows that have arrived are not measured twice.

        The first contact is tried once. A connection that is lost later is tried again.

        advance: called for every new row.
        facts: of the device now; rows that it keeps of an earlier run count only if its facts were the same.
        """
        self._start()
        cut_torn_line(job.rows_path)
        job_id = _job_id(job, facts)
        known = {identity(row) for row in read_rows(job.rows_path)}
        until = time.monotonic() + job.timing.seconds
        retry_when_lost(
            lambda: self._measure_once(job, job_id, known, until, advance),
            lambda: len(known),
            job.folder,
            self._log,
            self._sleep,
        )
        complete = {row for group in wanted_rows(job) for row in group} <= known
        if complete and not self._shared:
            with suppress(
                ConnectionLostError
            ):  # all rows are here; what is left there is of no use and does no harm
                self.ask("drop", self._folder, job_id)

    def _measure_once(
        self, job: Job, job_id: str, known: set[RowIdentity], until: float, advance: Callable[[], None]
    ) -> None:
        left = max(until - time.monotonic(), 1.0)
        remote_folder = str(job.folder) if self._shared else self._place(job, job_id, left)
        rows = b"" if self._shared or not job.rows_path.exists() else job.rows_path.read_bytes()

        def take(line: bytes) -> None:
            value = _parse(line)
            if value is None:
                return
            if CONDITIONS in _mapping(value, self._target):
                note_conditions(job.folder, value[CONDITIONS])
                return
            row_id = _identity(value, self._target)
            checked_rows([value], f"an answer of target {self._target.name}")
            if row_id not in known:
                if not self._shared:
                    append_rows(job.rows_path, [value])
                known.add(row_id)
                advance()

        stdin = b"%d\n" % len(rows) + rows
        self._check(
            execute(
                self._transport,
                [*self._agent(), "run", remote_folder],
                stdin=stdin,
                timeout_s=left + GRACE_S,
                on_line=take,
            )
        )

    def _place(self, job: Job, job_id: str, seconds: float) -> str:
        """Send the job's files that the device lacks; the folder of the job there."""
        document = read_json(job.folder / MANIFEST, "profiler job")
        document["timing"]["seconds"] = seconds
        manifest = json.dumps(document).encode()
        paths = {digest: job.folder / file for file, digest in wanted(document).items()}
        for _ in range(2):
            answer = self.ask("place", self._folder, job_id, stdin=manifest)
            if "job" in answer:
                return str(answer["job"])
            for batch in _batches([paths[digest] for digest in answer["missing"]]):
                data = b"".join(b"%s %d\n%s" % (sha256(raw).encode(), len(raw), raw) for raw in batch)
                self.ask("receive", self._folder, stdin=data, timeout_s=_SEND_S)
        raise TargetError(
            f"target {self._target.name}: files that were sent are not on the device; try again"
        )

    def _start(self) -> None:
        """Send the code there, once per process and device."""
        if self._code:
            return
        output = self._run(
            [self._python, "-c", _BOOTSTRAP, self._folder, archive_name()],
            code_archive(),
        )
        self._code = self._answer(output)

    def _agent(self) -> list[str]:
        self._start()
        return [self._python, self._code]

    def ask(self, *command: str, stdin: bytes = b"", timeout_s: float | None = None) -> Any:
        """The answer of the program on the device to a command, as JSON values."""
        return self._answer(self._run([*self._agent(), *command], stdin, timeout_s))

    def _run(self, command: Sequence[str], stdin: bytes, timeout_s: float | None = None) -> Output:
        limit_s = self._ask_s if timeout_s is None else timeout_s
        return self._check(execute(self._transport, command, stdin=stdin, timeout_s=limit_s))

    def _answer(self, output: Output) -> Any:
        lines = output.stdout.splitlines(keepends=True)
        answers = [value for value in map(_parse, lines) if value is not None]
        if not answers:
            raise TargetError(
                f"target {self._target.name}: {self._python!r} ran there and gave no answer; is it a Python? "
                f"({_last_words(output)})"
            )
        return answers[-1]

    def _check(self, output: Output) -> Output:
        if output.code == 0:
            return output
        where = f"target {self._target.name} ({self._target.reach.address})"
        if output.code in (NOT_FOUND - 1, NOT_FOUND):
            raise TargetError(
                f"{where}: there is no Python at {self._python!r}; install Python 3.9 or newer (Debian and "
                "Raspberry Pi OS: sudo apt install python3), or set reach.python to its path "
                f"({_last_words(output)})"
            )
        raise _ERRORS.get(output.code, TargetError)(f"{where}: {_last_words(output)}")


def _last_words(output: Output) -> str:
    lines = output.stderr.splitlines()
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    others = [line for line in lines if not line.startswith(MEASURED)]
    return (errors or others or [f"it ended with code {output.code} and said nothing"])[-1]


def _parse(line: bytes) -> Any:
    """The value of a line of an answer; None for other output of the shell, and for a line cut off."""
    if not line.startswith(ANSWER) or not line.endswith(b"\n"):
        return None
    try:
        return json.loads(line[len(ANSWER) :])
    except (ValueError, RecursionError):
        raise DamagedFileError(f"an answer of the device is damaged: {line[:80]!r}") from None


def _mapping(value: Any, target: Target) -> Mapping[str, Any]:
    """An answer that has keys; DamagedFileError for any other."""
    if not isinstance(value, Mapping):
        raise DamagedFileError(
            f"target {target.name}: the device answers {repr(value)[:60]} where an object belongs; update "
            "hwnas there"
        )
    return value


def _identity(row: Any, target: Target) -> RowIdentity:
    try:
        return identity(row)
    except (TypeError, KeyError):
        raise DamagedFileError(f"target {target.name}: the device answers with what is no row") from None


def _job_id(job: Job, facts: Mapping[str, Any]) -> str:
    """The identity of the job on this device: all of it but the time that is left."""
    document = read_json(job.folder / MANIFEST, "profiler job")
    del document["timing"]["seconds"]
    return sha256(json.dumps([document, dict(facts)], sort_keys=True).encode())[:32]


def _batches(paths: Sequence[Path]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for path in paths:
        batch.append(path.read_bytes())
        if sum(map(len, batch)) >= _BATCH_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch
