"""Run profiler jobs on a target, and give their times at the fixed speed of the context's reference."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from profilers import Timing, read_rows, write_job
from profilers.run import wanted_rows
from profilers.settle import settle
from targets import Context, Target, make_context
from targets.errors import DamagedFileError
from targets.files import read_json, write_json

from .android import NativeDevice
from .conditions import company, read_conditions, slowdown
from .jobs import job_folder
from .reference import REFERENCE_VERSION, reference_onnx
from .remote import PythonDevice

SPEED_TOLERANCE = 0.25
"""How far the reference may be off its first level before times are scaled by it (docs/benchmarks.md)."""

Log = Callable[[str], None]
Progress = Callable[[str, int], AbstractContextManager[Any]]
"""(name, total) -> a context manager whose value has `advance()`."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """The latency of one network, in milliseconds per run.

    p20, p50, p90: quantiles over samples that lie between samples of the other networks. p20 and p50 are
    of the undisturbed ones; all are scaled where the reference network ran at another speed than at first.
    ci_low, ci_high: 95 % interval of p50. clock: `cpu` (the thread's work, one thread) or `wall`.
    flag: `ok`, or `unstable` where the number should not be trusted to a few percent. n: samples.
    """

    p20_ms: float
    p50_ms: float
    p90_ms: float
    ci_low_ms: float
    ci_high_ms: float
    clock: str
    flag: str
    n: int


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


def open_device(target: Target, log: Log) -> PythonDevice | NativeDevice:
    """The device of a target, by the way it is reached."""
    return NativeDevice(target, log) if target.reach.transport == "adb" else PythonDevice(target, log)


def tables_folder(home: Path, target: Target) -> Path:
    """Where everything that was measured on the target lies."""
    return home / "tables" / target.folder


def run_job(
    target: Target,
    models: Mapping[str, bytes],
    timing: Timing,
    log: Log,
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
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
    log: Log,
    *,
    kinds: Mapping[str, tuple[str, ...]] | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
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


class Speed:
    """The reference's median when this context was first measured: `reference/<hash>.json`."""

    def __init__(self, home: Path, target: Target) -> None:
        """Nothing is read or written yet."""
        context = device_context(target, "")
        self._context = context
        self._path = tables_folder(home, target) / "reference" / f"{context.hash}.json"

    def fixed_ms(self, measured_ms: float) -> float:
        """The stored level; on the first use, `measured_ms` becomes it."""
        if not self._path.exists():
            write_json(self._path, {"p50_ms": measured_ms, "facts": dict(self._context.facts)})
            return measured_ms
        document = read_json(self._path, "reference level of the target")
        value = document.get("p50_ms") if isinstance(document, dict) else None
        if not isinstance(value, float) or not 0 < value < 1e6:
            raise DamagedFileError(
                f"reference level {self._path}: p50_ms is {value!r}; restore or delete the file"
            )
        return value

    def normalise(self, row: Mapping[str, Any]) -> Measurement:
        """A profiler's row at the fixed speed of the reference.

        Scaled only where the reference is off by more than SPEED_TOLERANCE: from session to session it varies
        by 10 % itself, by where its memory lies, and such shifts say nothing of other networks (correlation
        0.2), so that dividing by them adds noise. A device at another clock frequency is off by more.
        """
        factor = self.fixed_ms(row["reference_p50_ms"]) / row["reference_p50_ms"]
        if abs(math.log(factor)) <= math.log1p(SPEED_TOLERANCE):
            factor = 1.0
        p50 = row["p50_ms"] * factor
        return Measurement(
            row["p20_ms"] * factor,
            p50,
            max(row["p90_ms"] * factor, p50),
            min(row["ci_low_ms"] * factor, p50),
            max(row["ci_high_ms"] * factor, p50),
            row["clock"],
            row["flag"],
            row["n"],
        )
