"""The energy of one run: what a counter moves by while a network runs, less what it moves by at rest."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Callable

from targets.errors import TargetError

from .clock import Clocks
from .energy import ROOT, EnergyReader, EnergySource, readers
from .job import Job
from .stats import flagged

LOOPS = 3
LOOP_S = 2.0
"""RAPL moves once per millisecond, gauges of batteries about 4 times per second."""

_APART = 0.25
"""How far loops may differ."""

STEP_S = 0.05
"""Between two readings: sensors of power are integrated over them."""

Readers = Iterable["tuple[EnergySource, EnergyReader]"]


def energy_row(
    job: Job,
    key: str,
    *,
    clocks: Clocks | None = None,
    sleep: Callable[[float], None] = time.sleep,
    candidates: Readers | None = None,
    root: Path = ROOT,
) -> dict[str, Any]:
    """The row of a model's energy: `energy_mj` per run above rest, or why it is `unavailable`.

    rest_mw, load_mw: power before and while it runs.
    energy_spread: largest over smallest loop - 1.
    flag: `unstable` where a loop did not draw more than rest, or loops differ by more than a quarter.
    reason: which of the two.

    job, key: the model. clocks, sleep: the time. candidates: readers to try, best first; by default those of
    the target's provider under `root`.
    """
    clocks = clocks or Clocks()
    if candidates is None:
        candidates = readers(job.target.provider, root, clocks.wall_ns)
    start: dict[str, Any] = {"kind": "energy", "key": key, "pass": 0}
    reasons = []
    for source, reader in candidates:
        reason = reader.available()
        if reason is None:
            return {**start, **_measure(job, key, source, reader, clocks, sleep)}
        reasons.append(f"{source.name}: {reason}")
    return {**start, "unavailable": "; ".join(reasons) or f"no reader covers {job.target.provider}"}


def _measure(
    job: Job,
    key: str,
    source: EnergySource,
    reader: EnergyReader,
    clocks: Clocks,
    sleep: Callable[[float], None],
) -> dict[str, Any]:
    from .session import Runner

    runner = Runner(key, job.path(job.models[key]), job.target, job.timing.seed)
    runner.run(job.timing.warmups)
    rest, load, per_run, total = [], [], [], 0
    for _ in range(LOOPS):
        mj, seconds, _ = _loop(reader, clocks, lambda: sleep(STEP_S))
        rest_mw = mj / seconds
        mj, seconds, runs = _loop(reader, clocks, lambda: runner.run(1))
        rest.append(rest_mw)
        load.append(mj / seconds)
        per_run.append((mj - rest_mw * seconds) / runs)
        total += runs
    low, high = min(per_run), max(per_run)
    if high <= 0:
        raise TargetError(
            f"energy of {key}: {source.name} shows no more while it runs than at rest; stop what else runs "
            "on the device, then measure again"
        )
    apart = high / low - 1 if low > 0 else None
    reasons = ["a loop drew no more than rest"] if apart is None else []
    if apart is not None and apart > _APART:
        reasons.append(f"loops differ by {apart:.0%}")
    return {
        "reader": source.name,
        "part": source.part,
        "energy_mj": statistics.median(per_run),
        "energy_spread": apart,
        "rest_mw": statistics.median(rest),
        "load_mw": statistics.median(load),
        "n": LOOPS,
        "runs": total,
        **flagged(reasons),
    }


def _loop(reader: EnergyReader, clocks: Clocks, work: Callable[[], None]) -> tuple[float, float, int]:
    """(millijoules, seconds, calls) of working for LOOP_S, the reader read every STEP_S."""
    first_mj = reader.read_mj()
    start = step = clocks.wall_ns()
    calls = 0
    while True:
        work()
        calls += 1
        now = clocks.wall_ns()
        if now - start >= LOOP_S * 1e9:
            last_mj = reader.read_mj()
            return last_mj - first_mj, (clocks.wall_ns() - start) / 1e9, calls
        if now - step >= STEP_S * 1e9:
            reader.read_mj()
            step = now
