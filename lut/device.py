"""Run profiler jobs on a target, and give their times at the fixed speed of the context's reference."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import profilers
from profilers import Timing, read_rows, write_job
from profilers.run import MEASURED
from profilers.settle import settle
from targets import Context, Target, make_context
from targets.errors import DamagedFileError, HwnasError, TargetError
from targets.files import read_json, write_json

from .reference import REFERENCE_VERSION, reference_onnx

Log = Callable[[str], None]
Progress = Callable[[str, int], AbstractContextManager[Any]]
"""(name, total) -> a context manager whose value has `advance()`."""

GRACE_S = 20.0
"""How much longer than its own limit a profiler may live before it is ended: imports and one slow run."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """The latency of one network, in milliseconds per run.

    p20, p50, p90: quantiles over samples that lie between samples of the other networks. p20 and p50 have the
    disturbance divided out that the reference network saw in the same rounds; p90 has not.
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
    from profilers.session import runtime_facts

    return make_context(target, {**runtime_facts(), "reference": REFERENCE_VERSION}, exporter)


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
    """Rows by key, measured in a fresh process; keys for which the time did not suffice are absent.

    folder: kept, and gone on with where it already holds rows; None: temporary.
    """
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="hwnas-job-") as temporary:
            return run_job(target, models, timing, log, folder=Path(temporary), progress=progress)
    write_job(folder, target, models, reference_onnx(), timing)
    with progress("measure", len(models)) if progress else nullcontext(None) as bar:
        code, words = _profile(folder, timing.seconds + GRACE_S, bar.advance if bar else _nothing)
    if code != 0:
        text = f"target {target.name}: the profiler ended with code {code}: {words.removeprefix('error: ')}"
        raise _ERRORS.get(code, TargetError)(text)
    rows = {row["key"]: row for row in settle(read_rows(folder / "rows.jsonl"))}
    unstable = sum(row["flag"] != "ok" for row in rows.values())
    if unstable:
        log(f"{unstable} of {len(rows)} measurements are unstable: the machine is disturbed")
    return rows


def _nothing() -> None:
    pass


_ERRORS: Mapping[int, type[HwnasError]] = {3: DamagedFileError, 4: TargetError}


def _profile(folder: Path, limit_s: float, advance: Callable[[], None]) -> tuple[int, str]:
    """(exit code, last words on stderr) of `python -m profilers`; `advance` is called per row."""
    root = str(Path(profilers.__file__).parent.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    words = "no message"
    with subprocess.Popen(
        [sys.executable, "-m", "profilers", str(folder)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        guard = threading.Timer(limit_s, process.kill)
        guard.start()
        try:
            for line in process.stderr or ():
                if line.startswith(MEASURED):
                    advance()
                elif line.strip():
                    words = line.strip()
            code = process.wait()
        except BaseException:  # Ctrl-C: the child must not go on measuring alone
            process.kill()
            raise
        finally:
            guard.cancel()
    return code, words


class Speed:
    """The reference's low quantile when this context was first measured: `reference/<hash>.json`."""

    def __init__(self, home: Path, target: Target) -> None:
        """Nothing is read or written yet."""
        context = device_context(target, "")
        self._context = context
        self._path = tables_folder(home, target) / "reference" / f"{context.hash}.json"

    def fixed_ms(self, measured_ms: float) -> float:
        """The stored level; on the first use, `measured_ms` becomes it."""
        if not self._path.exists():
            write_json(self._path, {"p20_ms": measured_ms, "facts": dict(self._context.facts)})
            return measured_ms
        document = read_json(self._path, "reference level of the target")
        value = document.get("p20_ms") if isinstance(document, dict) else None
        if not isinstance(value, float) or not 0 < value < 1e6:
            raise DamagedFileError(
                f"reference level {self._path}: p20_ms is {value!r}; restore or delete the file"
            )
        return value

    def normalise(self, row: Mapping[str, Any]) -> Measurement:
        """A profiler's row at the fixed speed of the reference."""
        fixed = self.fixed_ms(row["reference_p20_ms"])
        low, middle = fixed / row["reference_p20_ms"], fixed / row["reference_p50_ms"]
        p50 = row["p50_ms"] * middle
        return Measurement(
            row["p20_ms"] * low,
            p50,
            max(row["p90_ms"] * low, p50),
            min(row["ci_low_ms"] * middle, p50),
            max(row["ci_high_ms"] * middle, p50),
            row["clock"],
            row["flag"],
            row["n"],
        )
