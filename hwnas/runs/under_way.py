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

from .log import ProgressBar
from .pace import Clock, Pace

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
    def watched(
        self, bar: ProgressBar, part: str, total: int, forecast_s: float | None = None
    ) -> Iterator[ProgressBar]:
        """The bar, whose progress is written down too. forecast_s: what it is expected to take."""
        self._state |= {"part": part, "done": 0, "total": total, "left_s": None}
        yield _Watched(bar, Pace(total, self._clock, forecast_s), self._advanced, self._clock)
        self._write()

    def _advanced(self, pace: Pace) -> None:
        self._state |= {"done": pace.done, "total": pace.total, "left_s": pace.left_s()}
        self._write()

    def _write(self) -> None:
        self._state["written"] = self._now()
        part = unfinished(self._path)  # without the fsync of write_atomic: all of it can be lost
        with suppress(OSError):  # a full disk is told by what matters
            part.write_text(json.dumps(self._state), encoding="utf-8")
            part.replace(self._path)


class _Watched:
    """A bar that also tells how far it is."""

    def __init__(self, bar: ProgressBar, pace: Pace, tell: Callable[[Pace], None], clock: Clock) -> None:
        self._bar, self._pace, self._tell, self._clock = bar, pace, tell, clock
        self._told_s = -_EVERY_S

    def advance(self, n: int = 1, note: str = "") -> None:
        """Tells how many are done, and the time left."""
        self._bar.advance(n, note)
        self._pace.advance(n)
        if self._clock() - self._told_s >= _EVERY_S:
            self._told_s = self._clock()
            self._tell(self._pace)

    def expect(self, total: int, rest_s: float) -> None:
        """Another total, told at the next advance."""
        self._bar.expect(total, rest_s)
        self._pace.total = total


def read_under_way(run: Path) -> UnderWay | None:
    """What the file says; None where there is none, or it cannot be read."""
    try:
        values: Mapping[str, Any] = json.loads((run / UNDER_WAY).read_text(encoding="utf-8"))
        stages = tuple(StageName(**stage) for stage in values["stages"])
        return UnderWay(**{**values, "stages": stages})
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
