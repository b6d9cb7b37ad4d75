"""How long a run has worked, pauses between its sessions left out, and what was decided by it.

clock.json       seconds of work, in all and by stage
decisions.json   counts that were planned again, so that a resumed run does not decide anew
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from targets.errors import DamagedFileError
from targets.files import read_json, write_json

SAVE_EVERY_S = 10.0


class WorkClock:
    """Seconds of work by the clock on the wall.

    path: of the file. now: seconds, for tests.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._path, self._now = path, now
        self._before_s, self.stages = self._read()
        self._began_s = self._saved_s = now()

    @property
    def spent_s(self) -> float:
        """By all sessions of the run; of one that was killed, until it saved last."""
        return self._before_s + self._now() - self._began_s

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Counts what is done inside to a stage as well."""
        began_s = self._now()
        try:
            yield
        finally:
            self.stages[name] = self.stages.get(name, 0.0) + self._now() - began_s
            self.save()

    def tick(self) -> None:
        """Save now and then; called often by long work."""
        if self._now() - self._saved_s >= SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        """Write what was spent so far."""
        self._saved_s = self._now()
        write_json(self._path, {"spent_s": self.spent_s, "stages": self.stages})

    def _read(self) -> tuple[float, dict[str, float]]:
        """A file that is damaged costs the time it told of, and nothing else."""
        if not self._path.exists():
            return 0.0, {}
        try:
            document = read_json(self._path, "the clock of the run")
            return float(document["spent_s"]), {k: float(v) for k, v in document["stages"].items()}
        except (DamagedFileError, KeyError, TypeError, ValueError, AttributeError):
            return 0.0, {}


class Decisions:
    """Counts and a limit that replace those of the plan, and how many architectures each batch may have."""

    def __init__(self, path: Path) -> None:
        self._path = path
        document: dict[str, Any] = read_json(path, "the decisions of the run") if path.exists() else {}
        self.counts: dict[str, int] = document.get("counts", {})
        self._batches: dict[str, int] = document.get("batches", {})
        self._limit: dict[str, float | None] = {k: document[k] for k in ("minutes",) if k in document}

    def batch(self, key: str, decide: Callable[[], int]) -> int:
        """What was decided for the batch `key`, else what `decide` says now."""
        if key not in self._batches:
            self._batches[key] = decide()
            self._write()
        return self._batches[key]

    def minutes(self, planned: float | None) -> float | None:
        """The limit that was set last on a resume, else the planned one."""
        return self._limit.get("minutes", planned)

    def limit(self, minutes: float | None) -> None:
        """From now on this is the limit."""
        self._limit = {"minutes": minutes}
        self._write()

    def fix(self, **counts: int) -> None:
        """Replace counts of the plan, unless that was done before."""
        new = {name: value for name, value in counts.items() if name not in self.counts}
        if new:
            self.counts |= new
            self._write()

    def _write(self) -> None:
        write_json(self._path, {"counts": self.counts, "batches": self._batches, **self._limit})
