"""The device of a target: its context, and jobs that run there."""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from profilers import Timing, read_rows, write_job
from profilers.processes import busiest, processes
from profilers.row_check import checked_rows
from profilers.run import wanted_rows
from profilers.settle import settle
from targets import Context, Int8Form, Target, make_context

from .android import AndroidDevice
from .callbacks import LogCallback, ProgressCallback, opened
from .conditions import other_load, read_conditions, slowdown
from .job_folder import job_folder
from .python_device import ASK_S, PythonDevice
from .reference_networks import REFERENCE_VERSION, reference_onnx
from .turns import device_lock, lent


def device_context(target: Target, exporter: str) -> Context:
    """The context of measurements made now; an `exporter` of '' leaves open who made the files."""
    return make_context(target, {**device_facts(target), "reference": REFERENCE_VERSION}, exporter)


@functools.cache
def device_facts(target: Target) -> Mapping[str, Any]:
    """The facts of the device itself; asked once per process."""
    if target.reach.transport == "local" and target.reach.python in ("", sys.executable):
        from profilers.facts import device_facts as local_facts

        return local_facts()  # what a new process of this interpreter would answer
    with lent(target):
        return open_device(target, _nothing).facts()


def int8_form(target: Target) -> Int8Form:
    """The form of the target's int8 networks; the device is asked where its description leaves it open."""
    return target.quantisation or target.int8_form(device_facts(target))


def open_device(target: Target, log: LogCallback, ask_s: float = ASK_S) -> PythonDevice | AndroidDevice:
    """The device of a target, by its transport. ask_s: how long an answer of one with Python may take."""
    if target.reach.transport == "adb":
        return AndroidDevice(target, log)
    return PythonDevice(target, log, ask_s=ask_s)


def tables_folder(home: Path, target: Target) -> Path:
    """The folder of everything that was measured on the target."""
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
    """Measure latencies: one row per key, its passes settled; keys that there was no time for are absent.

    Parameters as for `run_rows`.
    """
    settled = settle(run_rows(target, models, timing, log, folder=folder, progress=progress))
    rows = {row["key"]: row for row in settled}
    unstable = [row.get("reason", "") for row in rows.values() if row["flag"] != "ok"]
    if unstable:
        examples = "; ".join(list(dict.fromkeys(unstable))[:_EXAMPLES])
        log(f"{len(unstable)} of {len(rows)} measurements are unstable, for example: {examples}")
    return rows


_EXAMPLES = 2


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
    """Run a job: its rows as the target measured them, one per model, kind and pass.

    Each row has `conditions`: frequency, governor and heat at the start and end of each run, where the device
    reports them.

    target: the device.
    models: ONNX bytes by key.
    timing: how long and how exactly to measure.
    log, progress: told of disturbances, and of every new row.
    kinds: what to measure of a model; its latency where it is not named.
    folder: of the job; it is kept, and a job in it goes on. None for one that is removed when all went well.
    """
    facts = {} if target.reach.transport == "local" else device_facts(target)
    with job_folder(target, models, timing, kinds, facts) if folder is None else nullcontext(folder) as place:
        job = write_job(place, target.without_address(), models, reference_onnx(), timing, kinds)
        n_rows = sum(len(group) for group in wanted_rows(job))
        shown = opened(progress, "measure", n_rows, limit_s=timing.seconds)
        with device_lock(target, log), shown as bar, lent(target):
            began, before = time.monotonic(), processes() if target.reach.transport == "local" else {}
            open_device(target, log).measure(job, bar.advance, facts)
            named = busiest(before, processes(), time.monotonic() - began, os.getpid()) if before else {}
        conditions = read_conditions(job.folder)
        slower = slowdown(conditions)
        if slower:
            log(f"target {target.name}: {slower}; cool it, or measure for a shorter time")
        measured = checked_rows(read_rows(job.rows_path), str(job.rows_path))
        rows = [{**row, "conditions": conditions} for row in measured]
        if busy := other_load(rows, named):
            log(f"target {target.name}: {busy}")
        return rows


def _nothing(*_: object) -> None:
    pass
