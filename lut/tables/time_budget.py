"""How the minutes of a profile are spent: exports, sessions, samples.

Exports count by the CPU time of this thread, so that nobody else can use up the minutes before anything is
measured: other processes, and tables of other devices that are made side by side. What is left is wall time
for the profiler. One process works at a time, with one thread: the minutes are a hard limit on CPU time and,
on an idle machine, on wall time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lut.devices.callbacks import ProgressCallback, opened
from targets.errors import UsageError

from .networks import TableBlock, TableNetwork

EXPORT_SHARE = 0.4
"""Exports may take this share of the time; blocks that are not exported by then are estimated."""

CLOSING_S, CLOSING_SHARE = 4.0, 0.1
"""Reserved for the estimator and the files; the larger of the two, for a busy machine."""

SAMPLE_S = 0.0013
SAMPLES_WANTED = 75
"""Time for so many samples of 1.3 ms is kept for each exported block. A few rows known to 1 %, with the
others estimated, give better tables than all rows measured badly."""


@dataclass
class Stopwatch:
    """Time left of `seconds` since it was made. clock: seconds, never back."""

    seconds: float
    clock: Callable[[], float] = time.thread_time

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


def export_all(
    networks: Sequence[TableNetwork], watch: Stopwatch, progress: ProgressCallback | None = None
) -> dict[str, bytes]:
    """Export every network: the calibration needs them all. UsageError when the time does not suffice."""
    files: dict[str, bytes] = {}
    with opened(progress, "export networks", len(networks)) as bar:
        for network in networks:
            if watch.spent > EXPORT_SHARE * watch.seconds:
                raise UsageError(
                    f"{watch.seconds / 60:.3g} minutes of profiling are too few: exporting {len(files)} "
                    f"whole networks for the calibration took {watch.spent:.0f} s; give more minutes"
                )
            files[network.key] = network.onnx()
            bar.advance()
    return files


def export_in_time(
    items: Sequence[TableBlock] | Sequence[TableNetwork],
    watch: Stopwatch,
    sampled: int,
    each_s: float = SAMPLES_WANTED * SAMPLE_S,
    progress: ProgressCallback | None = None,
) -> dict[str, bytes]:
    """Export as many as there is time to export and then to sample, each for `each_s` seconds.

    sampled: number of other models that are sampled in the same time.
    """
    files: dict[str, bytes] = {}
    with opened(progress, "export", len(items)) as bar:
        for item in items:
            sampling_s = (len(files) + 1 + sampled) * each_s
            if watch.spent > EXPORT_SHARE * watch.seconds or watch.left < sampling_s:
                break
            files[item.key] = item.onnx()
            bar.advance()
    return files
