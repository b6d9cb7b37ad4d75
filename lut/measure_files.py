"""Measure files as they are: latency side by side, kernels in context, memory and energy one by one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lut.devices.callbacks import LogCallback
from lut.devices.device import run_job, run_rows
from lut.devices.measurement import Measurement, ReferenceSpeed
from lut.predictor.kernels.labels import Labelled, labelled
from lut.predictor.models.model_file import read_model
from profilers import Timing
from targets import Target
from targets.errors import TargetError

_SECONDS_EACH = 0.6
_SECONDS_FIXED = 3.0
_SECONDS_ALONE = 60.0

T = TypeVar("T")


def timing(seconds: float, seed: int = 0) -> Timing:
    """Three sessions of each network, one after the other: where one lies in memory is luck, up to 10 %."""
    return Timing(seconds, seed=seed, ci_pct=0.5, min_rounds=14, passes=3)


def measure(
    target: Target, files: Mapping[str, Path | bytes], *, home: Path, log: LogCallback
) -> dict[str, Measurement]:
    """Latency of each ONNX file on the target, all in one fresh process, interleaved with the reference.

    Times are at the speed of the tables of this context, so that predicted and measured compare.
    """
    models = {key: file if isinstance(file, bytes) else read_model(Path(file)) for key, file in files.items()}
    raw = _of_all(
        target,
        models,
        _SECONDS_FIXED + _SECONDS_EACH * len(models),
        lambda left, seconds: run_job(target, left, timing(seconds), log),
    )
    if not raw:
        return {}
    speed = ReferenceSpeed(home, target)
    return {key: speed.normalise(raw[key]) for key in models}


def measure_kernels(target: Target, models: Mapping[str, bytes], *, log: LogCallback) -> dict[str, Labelled]:
    """The kernels that each network becomes on the target, their times in context, and its latency."""
    kinds = dict.fromkeys(models, ("time", "kernels"))

    def job(left: Mapping[str, bytes], seconds: float) -> dict[str, Labelled]:
        rounds = Timing(seconds, min_rounds=20, max_rounds=40)
        return labelled(run_rows(target, left, rounds, log, kinds={key: kinds[key] for key in left}))

    return _of_all(target, models, _SECONDS_FIXED + 4 * _SECONDS_EACH * len(models), job)


def measure_resources(
    target: Target, models: Mapping[str, bytes], kinds: Sequence[str], *, log: LogCallback
) -> dict[str, dict[str, dict[str, Any]]]:
    """Rows by model and kind, `memory` or `energy`: each with nothing else loaded."""
    wanted = dict.fromkeys(models, tuple(kinds))
    limit = Timing(_SECONDS_ALONE * (1 + len(models) * len(kinds)))
    found: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in run_rows(target, models, limit, log, kinds=wanted):
        found[row["key"]][row["kind"]] = row
    for key in models:
        if len(found[key]) < len(kinds):
            raise TargetError(f"target {target.name}: no time for the {' and '.join(kinds)} of {key!r}")
    return dict(found)


def _of_all(
    target: Target,
    models: Mapping[str, bytes],
    seconds: float,
    job: Callable[[Mapping[str, bytes], float], Mapping[str, T]],
) -> dict[str, T]:
    """What the job finds for each model; large networks on a slow target get more time."""
    found: dict[str, T] = {}
    for attempt in range(3):
        left = {key: data for key, data in models.items() if key not in found}
        if not left:
            break
        found |= job(left, seconds * 4**attempt)
    missing = [key for key in models if key not in found]
    if missing:
        raise TargetError(
            f"target {target.name}: no time for {missing[0]!r} in {seconds * 21:.0f} s; is it overloaded?"
        )
    return found
