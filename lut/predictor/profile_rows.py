"""The rows of a profile in the time there is: as many networks as the device finishes, each of them whole.

How fast a device is, as busy as it is, is known from its first networks. All is one job, whose rows stay.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from lut.devices.callbacks import LogCallback
from profilers import read_rows
from profilers.job import ROWS

FIRST = 12
"""Networks that tell how long one takes."""

SHARE = 0.6
"""Of the networks that the rest of the time is thought to suffice for, how many come next."""

FIT_SHARE, LEAST_FIT_S = 0.1, 5.0
"""Of the time, what is kept for the fit."""

MeasuredRows = list[dict[str, Any]]
MeasureRows = Callable[[Sequence[str], float], MeasuredRows]
"""(keys, seconds) -> all rows of these networks that there are after at most so many seconds."""


def measuring_s(minutes: float) -> float:
    """Of a profile of so many minutes, the seconds before the fit."""
    return 60 * minutes - max(FIT_SHARE * 60 * minutes, min(LEAST_FIT_S, 30 * minutes))


def rows_in_time(
    measure: MeasureRows,
    keys: Sequence[str],
    known: Collection[str],
    until_s: float,
    now: Callable[[], float],
    log: LogCallback,
) -> MeasuredRows:
    """Rows of the first of `keys`, as many as are measured until the clock `now` says `until_s`.

    known: what an earlier profile measured, which costs nothing and counts.
    """
    n = 1 + max((i for i, key in enumerate(keys) if key in known), default=-1)
    each_s, rows = 0.0, MeasuredRows()
    while n < len(keys) or not rows:
        left_s = until_s - now()
        if rows and left_s < each_s:
            break
        affordable = max(1, int(SHARE * left_s / each_s)) if each_s else FIRST
        wanted = min(len(keys), n + affordable)
        began = now()
        before = n_whole(rows) if rows else len(known)
        rows = measure(keys[:wanted], max(left_s, 1.0))
        if n_whole(rows) > before:
            each_s = (now() - began) / (n_whole(rows) - before)
        if n_whole(rows) < wanted:
            break
        n = wanted
    if n_whole(rows) < len(keys):
        pace = f", at {each_s:.1f} s each" if each_s else ""
        log(f"{n_whole(rows)} of {len(keys)} networks are measured in the time{pace}")
    return rows


def n_whole(rows: Sequence[Mapping[str, Any]]) -> int:
    """Networks of which something was measured."""
    return len({row["key"] for row in rows if row["kind"] == "time"})


def measured_keys(job: Path) -> set[str]:
    """Networks of which a job has rows."""
    rows = job / ROWS
    return {row["key"] for row in read_rows(rows)} if rows.exists() else set()
