"""Jobs one after the other; each leaves one row in a file of JSON lines, and is not done twice.

A row is appended in one write and flushed to the disk. A run that is killed loses the job that was running
and, at worst, leaves a torn last line, which the next run cuts off.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hwnas.runs.log import duration
from targets.errors import DamagedFileError, HwnasError, UsageError

Row = dict[str, Any]


class Rows:
    """The rows of a file; the last one of a job counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: dict[str, Row] = {}
        whole = 0
        for number, line in enumerate(_lines(path), 1):
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            row = _parsed(line, path, number)
            self._rows[row["job"]] = row
        self._whole_bytes = whole

    def __getitem__(self, job: str) -> Row:
        return self._rows[job]

    def __contains__(self, job: str) -> bool:
        return job in self._rows

    def of(self, prefix: str) -> list[Row]:
        """The rows of the jobs whose names begin so, in the order in which they were done first."""
        return [row for job, row in self._rows.items() if job.startswith(prefix)]

    def append(self, row: Row) -> None:
        """Add a row, whole or not at all; a torn line before it is cut off."""
        line = json.dumps(row, sort_keys=True, allow_nan=False).encode() + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.truncate(self._whole_bytes)
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DamagedFileError(
                f"cannot write {self.path}: {error.strerror}; free space, then go on"
            ) from None
        self._whole_bytes += len(line)
        self._rows[row["job"]] = row


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True) if path.exists() else []


def _parsed(line: bytes, path: Path, number: int) -> Row:
    try:
        row = json.loads(line)
        if isinstance(row, dict) and isinstance(row["job"], str):
            return row
    except (ValueError, KeyError):
        pass
    raise DamagedFileError(f"{path}, line {number} is no row of a job; remove that line, then go on")


@dataclass(frozen=True)
class Job:
    """One piece of work.

    name: the key of its row.
    identity: all that decides its result.
    run: takes the rows so far and returns the columns of its own; it reads only the rows of `after`.
    weight: its expected share of the time.
    after: names of the jobs that must be done before.
    """

    name: str
    identity: Mapping[str, Any]
    run: Callable[[Rows], Row]
    weight: float = 1.0
    after: tuple[str, ...] = ()

    def done(self, rows: Rows) -> bool:
        """Whether its row is there; UsageError when that row is of another job with its name."""
        if self.name not in rows or "failure" in rows[self.name]:
            return False
        identity = json.loads(json.dumps(self.identity))
        if (stored := rows[self.name]["question"]) != identity:
            differs = [k for k in {*stored, *identity} if stored.get(k) != identity.get(k)]
            raise UsageError(
                f"{rows.path} holds {self.name} with other sizes ({', '.join(sorted(differs))}); "
                "give the same options, or another --out"
            )
        return True


@dataclass
class JobProgress:
    """How far the jobs are and, from the weights of those done, how long the rest takes."""

    log: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    _spent_s: float = field(default=0.0, init=False)
    _weight: float = field(default=0.0, init=False)

    def log_done(self, job: Job, seconds: float, n: int, of: int, left: float) -> None:
        """Log that job `n` of `of` is done; `left` is the weight of those to come."""
        self._spent_s += seconds
        self._weight += job.weight
        rest = duration(self._spent_s / self._weight * left)
        self.log(f"{n}/{of} {job.name}: {duration(seconds)}; {rest} left")


def run_jobs(jobs: Sequence[Job], rows: Rows, log: Callable[[str], None]) -> None:
    """Do what is not done. A job that fails leaves a row that says why, and is tried again the next time."""
    todo = [job for job in jobs if not job.done(rows)]
    log(f"{len(jobs) - len(todo)} of {len(jobs)} jobs are done")
    progress = JobProgress(log)
    for n, job in enumerate(todo):
        if missing := [name for name in job.after if name not in rows or "failure" in rows[name]]:
            log(f"{job.name} waits for {', '.join(missing)}")
            continue
        began, cpu = time.monotonic(), time.process_time()
        try:
            columns = job.run(rows)
        except HwnasError as error:
            columns = {"failure": str(error)}
            log(f"{job.name} failed: {error}")
        row = {
            "job": job.name,
            "question": dict(job.identity),
            "date": datetime.now(UTC).isoformat("T", "seconds"),
        }
        rows.append(row | {"cpu_s": time.process_time() - cpu} | columns)
        left = sum(j.weight for j in todo[n + 1 :])
        progress.log_done(job, time.monotonic() - began, len(jobs) - len(todo) + n + 1, len(jobs), left)
