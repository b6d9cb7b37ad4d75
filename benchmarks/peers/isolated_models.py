"""Times of models in isolation, each in a loop of its own, within a given device time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from lut.devices.callbacks import LogCallback
from lut.devices.device import run_rows
from lut.devices.reference_networks import EMPTY_KEY, empty_onnx
from profilers import Timing
from targets import Target
from targets.errors import DamagedFileError

BATCH = 48
"""Models written, loaded and interleaved at a time: some hundred megabytes of weights at most."""

ROUNDS = 5
_LEAST_MS = 1e-4


def isolated_ms(
    target: Target,
    models: Mapping[str, Callable[[], bytes | None]],
    seconds: float,
    log: LogCallback,
    seed: int = 0,
) -> dict[str, float]:
    """Low quantile of each model less that of the empty run, by key, in this order until the time is over.

    Models that there was no time for, that are None, or that the runtime cannot load are absent.
    """
    times_ms: dict[str, float] = {}
    keys, left_s = list(models), seconds
    for start in range(0, len(keys), BATCH):
        written = {key: models[key]() for key in keys[start : start + BATCH]}
        files = {key: data for key, data in written.items() if data and _loads(key, data, target)}
        began = time.monotonic()
        rows = run_rows(target, {EMPTY_KEY: empty_onnx(), **files}, timing(left_s, seed), log)
        left_s -= time.monotonic() - began
        times = {row["key"]: row["p20_ms"] for row in rows}
        empty_ms = times.pop(EMPTY_KEY, 0.0)
        times_ms |= {key: max(ms - empty_ms, _LEAST_MS) for key, ms in times.items()}
        if left_s <= 0:
            break
    log(f"{len(times_ms)} of {len(keys)} models measured, {seconds - left_s:.0f} s of device time")
    return times_ms


def timing(seconds: float, seed: int) -> Timing:
    """Some 30 ms for each model."""
    return Timing(seconds, seed=seed, min_rounds=ROUNDS, max_rounds=ROUNDS)


def _loads(key: str, data: bytes, target: Target) -> bool:
    import onnxruntime

    from profilers.session import make_session, session_options

    options = session_options(target)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        make_session(key, data, target, options)
    except DamagedFileError:
        return False
    return True
