"""Progress of many trainings as one bar."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hwnas.executors import Progress
from hwnas.runs.log import ProgressBar

from .run_context import RunContext

_PARTS = 100
"""Of one training."""


class TrainingBar:
    """A bar of trainings; those in flight count by their share. tick: called whenever one goes on."""

    def __init__(self, bar: ProgressBar, tick: Callable[[], None]) -> None:
        self._bar, self._tick, self._lock = bar, tick, threading.Lock()
        self._shares: dict[str, int] = {}

    def on_progress(self, progress: Progress) -> None:
        """A training in flight got further. Called from the threads that watch the workers."""
        share = int(_PARTS * progress.share)
        with self._lock:
            step = share - self._shares.get(progress.name, 0)
            self._shares[progress.name] = share
            self._tick()
        self._bar.advance(step, progress.name)

    def finish(self, n: int, note: str = "") -> None:
        """`n` trainings are over: those in flight until now, and those that were known or failed."""
        with self._lock:
            rest = _PARTS * n - sum(self._shares.values())
            self._shares = {}
        self._bar.advance(rest, note)

    def expect(self, n: int, rest_s: float) -> None:
        """`n` trainings in all now, and so much of the run after them."""
        self._bar.expect(_PARTS * max(n, 1), rest_s)


@contextmanager
def training_bar(
    context: RunContext, name: str, n: int, *, rest_s: float, forecast_s: float
) -> Iterator[TrainingBar]:
    """The bar of `n` trainings under `name`. rest_s: what the run takes after them; forecast_s: they."""
    with context.run.progress(name, _PARTS * max(n, 1), rest_s, forecast_s=forecast_s) as bar:
        yield TrainingBar(bar, context.clock.tick)
