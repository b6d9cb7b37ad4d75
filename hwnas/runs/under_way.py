"""What a run is doing now, in a small file beside its records, so that anybody can look without its lock."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from targets.files import unfinished

from .log import Clock, ProgressBar

UNDER_WAY = "progress.json"
"""The file; all of it can be lost without harm."""

_EVERY_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StageName:
    """One of the stages that a run goes through."""

    name: str
    does: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """Where a run is or was.

    stages: all that it goes through, in order.
    stage: the one under way; None after the last.
    began: seconds since 1970 when the stage began, or went on.
    part: what a bar counts; done, total: how far it is.
    left_s: of the stage, by its speed until then; None where that is not known.
    written: seconds since 1970.
    """

    stages: tuple[StageName, ...] = ()
    stage: str | None = None
    began: float = 0.0
    part: str = ""
    done: int = 0
    total: int = 0
    left_s: float | None = None
    written: float = 0.0


class UnderWayFile:
    """The file of a run, written at most every two seconds while a bar goes on."""

    def __init__(self, run: Path, clock: Clock = time.monotonic, now: Clock = time.time) -> None:
        self._path, self._clock, self._now = run / UNDER_WAY, clock, now
        self._state: dict[str, Any] = asdict(UnderWay())

    def begin(self, stages: Sequence[StageName], stage: str | None) -> None:
        """The run does this stage now; None: all are done."""
        begun = UnderWay(stages=tuple(stages), stage=stage, began=self._now())
        self._state = asdict(begun)
        self._write()

    @contextmanager
    def watched(self, bar: ProgressBar, part: str, total: int) -> Iterator[ProgressBar]:
        """The bar, whose progress is written down too."""
        self._state |= {"part": part, "done": 0, "total": total, "left_s": None}
        yield _Watched(bar, self._advanced, self._expect, self._clock)
        self._write()

    def _advanced(self, done: int, each_s: float | None) -> None:
        left_s = None if each_s is None else each_s * max(self._state["total"] - done, 0)
        self._state |= {"done": done, "left_s": left_s}
        self._write()

    def _expect(self, total: int) -> None:
        self._state["total"] = total

    def _write(self) -> None:
        self._state["written"] = self._now()
        part = unfinished(self._path)  # without the fsync of write_atomic: all of it can be lost
        with suppress(OSError):  # a full disk is told by what matters
            part.write_text(json.dumps(self._state), encoding="utf-8")
            part.replace(self._path)


class _Watched:
    """A bar that also tells how far it is."""

    def __init__(
        self,
        bar: ProgressBar,
        tell: Callable[[int, float | None], None],
        tell_total: Callable[[int], None],
        clock: Clock,
    ) -> None:
        self._bar, self._tell, self._tell_total, self._clock = bar, tell, tell_total, clock
        self._done = self._before = 0
        self._start_s = clock()
        self._told_s = -_EVERY_S

    def advance(self, n: int = 1, note: str = "") -> None:
        """Tells how many are done, and the seconds that each took."""
        self._bar.advance(n, note)
        now_s = self._clock()
        if self._done == 0 and now_s - self._start_s < 0.1:
            self._before = n  # done before a resume: no rate follows from it
        self._done += n
        if now_s - self._told_s < _EVERY_S:
            return
        self._told_s = now_s
        new = self._done - self._before
        self._tell(self._done, (now_s - self._start_s) / new if new > 0 else None)

    def expect(self, total: int, rest_s: float) -> None:
        """Another total, from the next advance on."""
        self._bar.expect(total, rest_s)
        self._tell_total(total)


def read_under_way(run: Path) -> UnderWay | None:
    """What the file says; None where there is none, or it cannot be read."""
    try:
        values: Mapping[str, Any] = json.loads((run / UNDER_WAY).read_text(encoding="utf-8"))
        stages = tuple(StageName(**stage) for stage in values["stages"])
        return UnderWay(**{**values, "stages": stages})
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
