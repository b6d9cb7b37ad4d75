"""How long a bar still takes: from its speed and, while little is done, from what was forecast."""

from __future__ import annotations

from collections.abc import Callable

Clock = Callable[[], float]

_TRUST = 0.15
"""The forecast counts as if this share of the work had been done at its speed: the first pieces of work also
start processes and read data, and a speed that follows from them alone is too low by far."""

_AT_ONCE_S = 0.1
"""What is done so soon after the start was done before a resume: no speed follows from it."""


class Pace:
    """The clock runs from the making of it. forecast_s: what `total` was expected to take; None: unknown."""

    def __init__(self, total: int, clock: Clock, forecast_s: float | None = None) -> None:
        self.total, self.done = total, 0
        self._clock, self._forecast_s = clock, forecast_s
        self._start_s, self._before = clock(), 0

    @property
    def elapsed_s(self) -> float:
        """Since the start."""
        return self._clock() - self._start_s

    def advance(self, n: int) -> None:
        """`n` more are done."""
        if self.done == 0 and self.elapsed_s < _AT_ONCE_S:
            self._before = n
        self.done += n

    def left_s(self) -> float | None:
        """Until `total` are done; None before the first."""
        new = self.done - self._before
        if new <= 0:
            return None
        trusted = 0.0 if self._forecast_s is None else _TRUST
        spent_s = self.elapsed_s + trusted * (self._forecast_s or 0.0)
        return spent_s / (new + trusted * (self.total - self._before)) * max(0, self.total - self.done)
