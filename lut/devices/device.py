"""Run profiler jobs on a target, and give their times at the fixed speed of the context's reference."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from profilers import Timing, read_rows, write_job
from profilers.run import wanted_rows
from profilers.settle import settle
from targets import Context, Target, make_context

from .android import AndroidDevice
from .callbacks import LogCallback, ProgressCallback
from .conditions import company, read_conditions, slowdown
from .job_folder import job_folder
from .python_device import PythonDevice
from .reference_networks import REFERENCE_VERSION, reference_onnx


def device_context(target: Target, exporter: str) -> Context:
    """The context of measurements that are made now; exporter '' leaves open who made the files."""
    return make_context(target, {**device_facts(target), "reference": REFERENCE_VERSION}, exporter)


@functools.cache
def device_facts(target: Target) -> Mapping[str, Any]:
    """What the target itself says that it is; asked once per process."""
    if target.reach.transport == "local" and target.reach.python in ("", sys.executable):
        from profilers.facts import device_facts as own_facts

        return own_facts()  # what this very interpreter would answer, without starting it once more
    return open_device(target, _nothing).facts()


def open_device(target: Target, log: LogCallback) -> PythonDevice | AndroidDevice:
    """The device of a target, by the way it is reached."""
    return AndroidDevice(target, log) if target.reach.transport == "adb" else PythonDevice(target, log)


def tables_folder(home: Path, target: Target) -> Path:
    """Where everything that was measured on the target lies."""
    return home / "tables" / target.folder


def run_job(
    target: Target,
    models: Mapping[str, bytes],
    timing: Timing,
    log: LogCallback,
    *,
    folder: Path | None = None,
    progress: ProgressCallback | None = None,
) -> dict[str, dict[str, Any]]:
    """Rows of latency by key, settled; keys for which the time did not suffice are absent.

    folder: kept, and gone on with where it already holds rows; None: one that is removed when all is well.
    """
    found = settle(run_rows(target, models, timing, log, folder=folder, progress=progress))
    rows = {row["key"]: row for row in found}
    unstable = sum(row["flag"] != "ok" for row in rows.values())
    if unstable:
        log(f"{unstable} of {len(rows)} measurements are unstable: the machine is disturbed")
    return rows


def run_rows(
    target: Target,
    models: Mapping[str, bytes],
    timing: Timing,
    log: LogCallback,
    *,
    kinds: Mapping[str, tuple[str, ...]] | None = None,
    folder: Path | None = None,
    progress: ProgressCallback | None = None,
) -> list[dict[str, Any]]:
    """The rows of a job as the target measured them, of all kinds asked for and of every pass, unsettled.

    `conditions` of each: frequency, governor and heat at the start and end of each run, where it tells them.
    kinds: what to measure of a model, its latency where it is not named. folder: as for run_job.
    """
    facts = {} if target.reach.transport == "local" else device_facts(target)
    with job_folder(target, models, timing, kinds, facts) if folder is None else nullcontext(folder) as place:
        job = write_job(place, target.without_address(), models, reference_onnx(), timing, kinds)
        n_rows = sum(len(group) for group in wanted_rows(job))
        with progress("measure", n_rows) if progress else nullcontext(None) as bar:
            open_device(target, log).measure(job, bar.advance if bar else _nothing, facts)
        conditions = read_conditions(job.folder)
        slower = slowdown(conditions)
        if slower:
            log(f"target {target.name}: {slower}; cool it, or measure for a shorter time")
        rows = [{**row, "conditions": conditions} for row in read_rows(job.rows_path)]
        if busy := company(rows):
            log(f"target {target.name}: {busy}")
        return rows


def _nothing(*_: object) -> None:
    pass
