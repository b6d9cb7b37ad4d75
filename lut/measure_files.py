"""Measure ONNX files: latency side by side, kernels in context, memory and energy one file at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lut.devices.callbacks import LogCallback, ProgressCallback
from lut.devices.device import run_job, run_rows
from lut.devices.measurement import Measurement, ReferenceSpeed
from lut.predictor.kernels.labels import Labelled, labelled
from lut.predictor.models.input_metadata import fixed
from lut.predictor.models.model_file import read_model
from profilers import Timing
from targets import Target
from targets.errors import TargetError

_SECONDS_EACH = 0.6
_SECONDS_FIXED = 3.0
_SECONDS_RESOURCE = 60.0

T = TypeVar("T")


def timing(seconds: float, seed: int = 0) -> Timing:
    """Three sessions of each network: by where its memory lies, a session is up to 10 % faster or slower."""
    return Timing(seconds, seed=seed, ci_pct=0.5, min_rounds=14, passes=3)


def measure(
    target: Target,
    files: Mapping[str, Path | bytes],
    *,
    home: Path,
    log: LogCallback,
    progress: ProgressCallback | None = None,
) -> dict[str, Measurement]:
    """Latency of each ONNX file on the target, all in one fresh process, interleaved with the reference.

    Times are scaled to the speed of this context's tables, so that predicted and measured times compare.
    """
    models = {key: file if isinstance(file, bytes) else read_model(Path(file)) for key, file in files.items()}
    if target.reach.transport == "adb":  # its runner reads no metadata
        models = {key: fixed(data) for key, data in models.items()}
    rows = _for_each(
        target,
        models,
        _SECONDS_FIXED + _SECONDS_EACH * len(models),
        lambda missing, seconds: run_job(target, missing, timing(seconds), log, progress=progress),
    )
    if not rows:
        return {}
    speed = ReferenceSpeed(home, target)
    return {key: speed.normalise(rows[key]) for key in models}


def measure_kernels(target: Target, models: Mapping[str, bytes], *, log: LogCallback) -> dict[str, Labelled]:
    """The kernels that each network becomes on the target, their times in context, and its latency."""

    def job(missing: Mapping[str, bytes], seconds: float) -> dict[str, Labelled]:
        rounds = Timing(seconds, min_rounds=20, max_rounds=40)
        kinds = dict.fromkeys(missing, ("time", "kernels"))
        return labelled(run_rows(target, missing, rounds, log, kinds=kinds))

    return _for_each(target, models, _SECONDS_FIXED + 4 * _SECONDS_EACH * len(models), job)


def measure_resources(
    target: Target,
    models: Mapping[str, bytes],
    kinds: Sequence[str],
    *,
    log: LogCallback,
    progress: ProgressCallback | None = None,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Rows of `memory` and `energy` by model and kind, each measured with nothing else loaded."""
    limit = Timing(_SECONDS_RESOURCE * (1 + len(models) * len(kinds)))
    rows: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    wanted = dict.fromkeys(models, tuple(kinds))
    for row in run_rows(target, models, limit, log, kinds=wanted, progress=progress):
        rows[row["key"]][row["kind"]] = row
    for key in models:
        if len(rows[key]) < len(kinds):
            raise TargetError(f"target {target.name}: no time for the {' and '.join(kinds)} of {key!r}")
    return dict(rows)


def _for_each(
    target: Target,
    models: Mapping[str, bytes],
    seconds: float,
    job: Callable[[Mapping[str, bytes], float], Mapping[str, T]],
) -> dict[str, T]:
    """The result of the job for each model; those without one are run again with four times the time."""
    results: dict[str, T] = {}
    for attempt in range(3):
        missing = {key: data for key, data in models.items() if key not in results}
        if not missing:
            break
        results |= job(missing, seconds * 4**attempt)
    failed = [key for key in models if key not in results]
    if failed:
        raise TargetError(
            f"target {target.name}: no time for {failed[0]!r} in {seconds * 21:.0f} s; is it overloaded?"
        )
    return results
