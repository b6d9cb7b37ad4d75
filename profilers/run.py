"""Run a job in this process: sessions, the timing loop, rows appended as they come."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from targets.errors import DamagedFileError

from .clock import Clocks
from .job import Job, read_job
from .measure import measure
from .rows import append_rows, cut_torn_line, read_rows

MEASURED = "measured "
"""How the line on stderr begins that is printed for each row: callers count them."""


def clock_of(job: Job) -> str:
    """`cpu` where the thread's work is the latency: one thread of the CPU provider; else `wall`."""
    return "cpu" if job.target.provider == "cpu" and job.target.threads == 1 else "wall"


def run_job(folder: Path, clocks: Clocks, log: Callable[[str], None]) -> int:
    """Measure what the job in `folder` still lacks; returns how many models have no row at the end."""
    from .session import Runner, check_provider

    start = clocks.wall_ns()
    job = read_job(folder)
    check_provider(job.target)
    cut_torn_line(job.rows_path)
    rows = read_rows(job.rows_path)
    foreign = [row["key"] for row in rows if row["key"] not in job.models]
    if foreign:
        raise DamagedFileError(
            f"{job.rows_path}: row {foreign[0]!r} is of no model of this job; delete the file"
        )
    done = {row["key"] for row in rows}
    missing = {key: file for key, file in job.models.items() if key not in done}
    if not missing:
        log("every model is measured already")
        return 0
    deadline = start + int(job.timing.seconds * 1e9)
    seed = job.timing.seed
    reference = Runner("the reference network", job.path(job.reference), job.target, seed)
    networks: dict[str, Runner] = {}
    # Loading may take half of the time: what does not fit is left for the next call, in the job's order.
    loading_until = start + int(0.5 * job.timing.seconds * 1e9)
    for key, file in missing.items():
        if clocks.wall_ns() > loading_until:
            break
        networks[key] = Runner(key, job.path(file), job.target, seed)
    log(f"{len(networks)} of {len(job.models)} models loaded, {len(done)} measured before")
    n = 0
    for row in measure(networks, reference, job.timing, clock_of(job), clocks, deadline):
        append_rows(job.rows_path, [row])
        n += 1
        log(f"{MEASURED}{n}/{len(networks)}")
    return len(missing) - n
