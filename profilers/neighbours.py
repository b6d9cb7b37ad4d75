"""What else ran on the machine while samples were taken, by the operating system's own count.

A busy neighbour slows a network down 1.3 times and more through the caches. The samples alone cannot
distinguish a neighbour that stays from a slow device, but the operating system can: it counts the time that
all CPUs worked, and this process's own time is subtracted. If enough samples were taken while nobody else
ran, only those count.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

import numpy as np
from numpy.typing import NDArray

from .stats import Floats

QUIET_CPUS = 0.1
"""CPUs that others may take around a sample taken alone; half of it is for the ticks of the count."""

LEAST = 8
"""Samples that must have been taken alone for the others to be left out."""

_WINDOW_NS = 500_000_000
"""Around a sample: the count moves in ticks of 10 ms."""

_LOOK_NS = 50_000_000

_STAT = Path("/proc/stat")
_WORKING = (0, 1, 2, 5, 6, 7)
"""user, nice, system, irq, softirq, steal; guests are part of user and nice (proc_stat(5))."""


def others_ns(stat: Path = _STAT) -> int | None:
    """Nanoseconds that the CPUs worked for others than this process so far; None where nobody counts them.

    stat: the count of the operating system.
    """
    try:
        with stat.open("rb") as file:
            ticks = [int(word) for word in file.readline().split()[1:]]
        worked = sum(ticks[i] for i in _WORKING) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
    return int(worked * 1e9) - time.process_time_ns()


class Watch:
    """Reads the count while samples are taken, and says afterwards how much ran beside each of them."""

    def __init__(self, wall_ns: Callable[[], int], others_ns: Callable[[], int | None]) -> None:
        """Read the count for the first time."""
        self._wall_ns, self._count_ns = wall_ns, others_ns
        self._at_ns: list[int] = []
        self._others_ns: list[int] = []
        self.look()

    def look(self) -> None:
        """Read the count, unless it was read just now."""
        now = self._wall_ns()
        if self._at_ns and now - self._at_ns[-1] < _LOOK_NS:
            return
        others_ns = self._count_ns()
        if others_ns is not None:
            self._at_ns.append(now)
            self._others_ns.append(others_ns)

    def cpus(self, at_ns: Sequence[int]) -> list[float]:
        """(n,) CPUs that others took around each of these times; empty where nobody counts."""
        if len(self._at_ns) < 2:
            return []
        looks = np.asarray(self._at_ns, dtype=np.float64)
        count = np.asarray(self._others_ns, dtype=np.float64)
        at = np.clip(np.asarray(at_ns, dtype=np.float64), looks[0], looks[-1])
        # At either end the window lies inside what was seen, so that it is never shorter than it must be.
        begin = np.clip(at - _WINDOW_NS / 2, looks[0], max(looks[-1] - _WINDOW_NS, looks[0]))
        end = np.minimum(begin + _WINDOW_NS, looks[-1])
        taken = np.interp(end, looks, count) - np.interp(begin, looks, count)
        return [float(x) for x in np.maximum(taken / (end - begin), 0.0)]


def alone(cpus: Sequence[float], least: int = LEAST) -> NDArray[np.bool_] | None:
    """(n,) which samples were taken alone, by the CPUs that others took; None: fewer than `least`."""
    mask = np.asarray(cpus, dtype=np.float64) <= QUIET_CPUS
    return mask if mask.sum() >= least else None


def counted(samples: Floats, cpus: Sequence[float], least: int = LEAST) -> Floats:
    """The samples that were taken alone where they are enough, else all of them. (n, ...) and (n,) or ()."""
    mask = alone(cpus, least)
    return samples if mask is None else samples[mask]
