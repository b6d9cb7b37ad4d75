"""Run a job in this process: sessions, the timing loop, rows appended as they come."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from targets.errors import DamagedFileError

from .clock import Clocks
from .job import ALONE, Job, read_job
from .limits import limit_memory
from .measure import measure
from .rows import RowIdentity, append_rows, cut_torn_line, identity, read_rows

if TYPE_CHECKING:
    from .session import Runner

MEASURED = "measured "
"""How the line on stderr begins that is printed for each row: callers count them."""

LOADING_SHARE = 0.5
"""Of a group's time; what is not loaded by then is left for the next call, in the job's order."""


def clock_of(job: Job) -> str:
    """`cpu` where the thread's work is the latency: one thread of the CPU provider; else `wall`."""
    return "cpu" if job.target.provider == "cpu" and job.target.threads == 1 else "wall"


def wanted_rows(job: Job) -> list[list[RowIdentity]]:
    """Groups of rows that are measured together, in order: a killed process loses one group at most.

    What is measured alone comes last, in the time that is left: it takes long, and few models need it.
    """
    alone = [[(one, key, 0)] for one in ALONE for key, kinds in job.kinds.items() if one in kinds]
    timed = [(key, [k for k in kinds if k not in ALONE]) for key, kinds in job.kinds.items()]
    timed = [(key, kinds) for key, kinds in timed if kinds]
    size = job.timing.together or max(1, len(timed))
    chunks = [timed[i : i + size] for i in range(0, len(timed), size)]
    together = [
        [(kind, key, number) for key, kinds in chunk for kind in kinds]
        for number in range(job.timing.passes)
        for chunk in chunks
    ]
    return together + alone


def run_job(folder: Path, clocks: Clocks, log: Callable[[str], None], *, limited: bool = False) -> int:
    """Measure what the job in `folder` still lacks; returns how many rows are missing at the end.

    limited: let this process take no more memory than is free, where the CPU's memory is what networks need.
    """
    from .session import check_provider

    start = clocks.wall_ns()
    job = read_job(folder)
    check_provider(job.target)
    if limited and job.target.provider == "cpu":
        limit_memory()
    cut_torn_line(job.rows_path)
    done = {identity(row) for row in read_rows(job.rows_path)}
    groups = wanted_rows(job)
    wanted = [row for group in groups for row in group]
    foreign = done - set(wanted)
    if foreign:
        raise DamagedFileError(
            f"{job.rows_path}: row {min(foreign)} is of no model of this job; delete the file"
        )
    groups = [left for left in ([row for row in group if row not in done] for group in groups) if left]
    if not groups:
        log("every model is measured already")
        return 0
    missing = n_missing = sum(len(group) for group in groups)
    deadline = start + int(job.timing.seconds * 1e9)
    log(f"{missing} rows to measure, {len(done)} measured before")
    ahead = missing
    # One session for all groups: where its memory lies moves it by more (0.047 to 0.068 ms) than the device's
    # speed changes, which it is there to show.
    reference = functools.cache(lambda: _reference(job))
    for group in groups:
        # Groups get time by their size; what one leaves over is shared by those that follow.
        now = clocks.wall_ns()
        until = now + (deadline - now) * len(group) // ahead
        ahead -= len(group)
        for row in _measure_group(job, group, reference, clocks, until):
            append_rows(job.rows_path, [row])
            missing -= 1
            log(f"{MEASURED}{n_missing - missing}/{n_missing}")
    return missing


def _reference(job: Job) -> Runner:
    from .session import Runner

    return Runner("the reference network", job.path(job.reference), job.target, job.timing.seed)


def _measure_group(
    job: Job, group: Sequence[RowIdentity], reference: Callable[[], Runner], clocks: Clocks, until: int
) -> Any:
    """The rows of a group, as they are known."""
    if group[0][0] in ALONE:
        return iter([_row_alone(job, of) for of in group] if clocks.wall_ns() < until else [])
    start = clocks.wall_ns()
    loading_until = start + int(LOADING_SHARE * (until - start))
    networks = _load(job, group, clocks, loading_until)
    return measure(networks, reference(), job.timing, clock_of(job), clocks, until)


def _row_alone(job: Job, of: RowIdentity) -> dict[str, Any]:
    from .energy_row import energy_row
    from .memory import memory_row

    rows: Mapping[str, Callable[[Job, str], dict[str, Any]]] = {"memory": memory_row, "energy": energy_row}
    kind, key, _ = of
    return rows[kind](job, key)


def _load(job: Job, group: Sequence[RowIdentity], clocks: Clocks, until: int) -> Mapping[RowIdentity, Runner]:
    from .profiled_runner import ProfiledRunner
    from .session import Runner

    kinds: Mapping[str, type[Runner]] = {"time": Runner, "kernels": ProfiledRunner}
    networks: dict[RowIdentity, Runner] = {}
    for of in group:
        if clocks.wall_ns() > until:
            break
        kind, key, _ = of
        networks[of] = kinds[kind](key, job.path(job.models[key]), job.target, job.timing.seed)
    return networks
