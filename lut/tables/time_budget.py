"""How the minutes of a profile are spent: exports, sessions, samples.

Exports count by the CPU time of this process, so that a neighbour cannot use up the minutes before anything
is measured; what is left is wall time for the profiler. One process works at a time, with one thread, so the
minutes are a hard limit on CPU time, and on an idle machine on wall time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from targets.errors import UsageError

from .networks import TableBlock, TableNetwork

EXPORT_SHARE = 0.4
"""Of the time that exports may take at most; what is not exported by then is predicted."""

CLOSING_S, CLOSING_SHARE = 4.0, 0.1
"""Reserved for the predictor and the files; the larger of the two, for a busy machine."""

SAMPLE_S = 0.0013
SAMPLES_WANTED = 75
"""Time for so many samples of 1.3 ms is kept per exported block: some rows known to 1 %, and the others
predicted, price networks better than all rows measured badly."""


@dataclass
class Stopwatch:
    """Time left of `seconds` since it was made. clock: seconds, never back."""

    seconds: float
    clock: Callable[[], float] = time.process_time

    def __post_init__(self) -> None:
        self._start = self.clock()

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return self.clock() - self._start

    @property
    def left(self) -> float:
        """Seconds until the limit, less what the closing work needs."""
        closing_s = max(min(CLOSING_S, 0.2 * self.seconds), CLOSING_SHARE * self.seconds)
        return self.seconds - closing_s - self.spent


def export_wholes(wholes: Iterable[TableNetwork], watch: Stopwatch) -> dict[str, bytes]:
    """All of them: without them there is no calibration. UsageError when the time does not suffice."""
    out: dict[str, bytes] = {}
    for whole in wholes:
        if watch.spent > EXPORT_SHARE * watch.seconds:
            raise UsageError(
                f"{watch.seconds / 60:.3g} minutes of profiling are too few: exporting {len(out)} whole "
                f"networks for the calibration took {watch.spent:.0f} s; give more minutes"
            )
        out[whole.key] = whole.onnx()
    return out


def export_in_time(
    parts: Iterable[TableBlock | TableNetwork],
    watch: Stopwatch,
    sampled: int,
    each_s: float = SAMPLES_WANTED * SAMPLE_S,
) -> dict[str, bytes]:
    """As many as can be exported and then sampled, each for `each_s`; `sampled` others are sampled anyway."""
    out: dict[str, bytes] = {}
    for part in parts:
        sampling_s = (len(out) + 1 + sampled) * each_s
        if watch.spent > EXPORT_SHARE * watch.seconds or watch.left < sampling_s:
            break
        out[part.key] = part.onnx()
    return out
