"""Two clocks: what the user waits, and what the thread worked."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable

from .neighbours import others_ns


@dataclass(frozen=True)
class Clocks:
    """The clocks of a measurement, in nanoseconds.

    wall_ns, cpu_ns: of the wall and of the calling thread.
    others_ns: CPU time of all other processes, see `neighbours`.
    """

    wall_ns: Callable[[], int] = time.perf_counter_ns
    cpu_ns: Callable[[], int] = time.thread_time_ns
    others_ns: Callable[[], int | None] = others_ns
