"""Measure exported files: the numbers that stand in a front and in a report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from profilers import Timing
from targets import Target
from targets.errors import DamagedFileError, TargetError

from .device import Log, Measurement, Speed, run_job

_SECONDS_EACH = 0.6
_SECONDS_FIXED = 3.0


def timing(seconds: float, seed: int = 0) -> Timing:
    """Three sessions of each network, one after the other: where one lies in memory is luck, up to 10 %."""
    return Timing(seconds, seed=seed, ci_pct=0.5, min_rounds=14, passes=3)


def measure(
    target: Target, files: Mapping[str, Path | bytes], *, home: Path, log: Log
) -> dict[str, Measurement]:
    """Latency of each ONNX file on the target, all in one fresh process, interleaved with the reference.

    Times are at the speed of the tables of this context, so that predicted and measured compare.
    """
    models: dict[str, bytes] = {}
    for key, file in files.items():
        try:
            models[key] = file if isinstance(file, bytes) else Path(file).read_bytes()
        except OSError as error:
            raise DamagedFileError(f"{key}: cannot read {file!s}: {error.strerror}") from None
    if not models:
        return {}
    seconds = _SECONDS_FIXED + _SECONDS_EACH * len(models)
    raw: dict[str, dict[str, object]] = {}
    for attempt in range(3):  # large networks on a slow target: what is missing gets more time
        left = {key: data for key, data in models.items() if key not in raw}
        if not left:
            break
        raw |= run_job(target, left, timing(seconds * 4**attempt), log)
    missing = [key for key in models if key not in raw]
    if missing:
        raise TargetError(
            f"target {target.name}: no time for {missing[0]!r} in {seconds * 21:.0f} s; is it overloaded?"
        )
    speed = Speed(home, target)
    return {key: speed.normalise(raw[key]) for key in models}
