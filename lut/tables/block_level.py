"""The block-level method: every block alone in a session of its own, and whole networks beside them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lut.devices.callbacks import LogCallback, ProgressCallback
from lut.devices.device import run_job
from lut.devices.measurement import Measurement, ReferenceSpeed
from lut.devices.reference_networks import EMPTY_KEY, empty_onnx
from profilers import Timing
from targets import Target
from targets.errors import TargetError

from . import estimate_blocks as predictor
from .request import TableMeasurements, TableRequest
from .time_budget import Stopwatch, export_in_time, export_wholes

TWINS = ("#2", "#3")
"""Whole networks are loaded three times and the median counts: two sessions of a file differ by 1 % in quiet
minutes, by where their memory lies, and by more in busy ones; all prices hang on these networks."""


UNSTABLE_ROWS = 0.9
"""Share of flagged rows above which no table is made. A flag says that one row is not known to a few percent;
40 to 80 % of the rows bear one beside a neighbour that works, in tables whose error is 1.6 %."""

MOST_NOISE_PCT: Mapping[str, float] = {"cpu": 10.0, "wall": 3.0}
"""Mean difference of two sessions of a whole network above which no table is made, by the clock. The median
of three is what counts; the wall clock has waiting in it, in bursts that no median removes."""


def measure_block_level(
    request: TableRequest,
    known: Mapping[str, Measurement],
    watch: Stopwatch,
    home: Path,
    log: LogCallback,
    progress: ProgressCallback | None,
) -> TableMeasurements:
    """Rows (those of earlier profiles too), whole networks, and how far two sessions of one differ."""
    parts = request.parts
    whole_files = export_wholes(request.wholes, watch)
    wanted = [p for p in predictor.spread(parts, request.seed) if p.key not in known]
    part_files = export_in_time(wanted, watch, (1 + len(TWINS)) * len(whole_files) + 2)
    models = {EMPTY_KEY: empty_onnx(), **with_twins(whole_files)}
    models |= part_files
    log(
        f"measuring {len(part_files)} of {len(parts)} blocks ({len(parts) - len(wanted)} known) and "
        f"{len(whole_files)} whole networks for at most {watch.left:.0f} s"
    )
    timing = Timing(seconds=max(watch.left, 1.0), seed=request.seed, ci_pct=0.5, min_rounds=30)
    raw = run_job(request.target, models, timing, log, progress=progress)
    speed = ReferenceSpeed(home, request.target)
    sessions = sessions_ms(raw, whole_files, speed, request.target.name)
    check_steady(request.target, raw, noise_pct(sessions))
    rows = {k: speed.normalise(raw[k]) for k in [EMPTY_KEY, *part_files] if k in raw} | dict(known)
    empty_ms = rows[EMPTY_KEY].p20_ms
    # A block cannot be cheaper than nothing.
    prices = {p.key: max(rows[p.key].p20_ms - empty_ms, 0.05 * empty_ms) for p in parts if p.key in rows}
    sizes = {key: len(data) for key, data in part_files.items()}
    return TableMeasurements(
        prices, rows, medians(sessions), noise_pct(sessions), {"empty_run_ms": empty_ms}, sizes
    )


def with_twins(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files, and each of them again for its other sessions."""
    return {**files, **{key + twin: data for twin in TWINS for key, data in files.items()}}


def sessions_ms(
    rows: Mapping[str, Mapping[str, Any]], keys: Iterable[str], speed: ReferenceSpeed, target: str
) -> dict[str, list[float]]:
    """The latency of each network in each of its sessions; TargetError if one was not measured."""
    out = {}
    for key in keys:
        names = [key, *(key + twin for twin in TWINS)]
        if any(name not in rows for name in names):
            raise TargetError(
                f"target {target}: time ran out before the whole networks were measured "
                f"({len(rows)} models known); give more minutes"
            )
        out[key] = [speed.normalise(rows[name]).p20_ms for name in names]
    return out


def medians(sessions: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The middle one of the times of each network."""
    return {key: float(np.median(times)) for key, times in sessions.items()}


def noise_pct(sessions: Mapping[str, Sequence[float]]) -> float:
    """Mean difference of two sessions of a network, in percent."""
    pairs = (pair for times in sessions.values() for pair in itertools.combinations(times, 2))
    return 100 * float(np.mean([abs(a / b - 1) for a, b in pairs]))


def check_steady(target: Target, rows: Mapping[str, Mapping[str, Any]], noise: float) -> None:
    """TargetError where the machine was too disturbed for prices that hang on these rows; noise: percent."""
    clock = str(next(iter(rows.values()))["clock"])
    flagged = float(np.mean([row["flag"] != "ok" for row in rows.values()]))
    if flagged <= UNSTABLE_ROWS and noise <= MOST_NOISE_PCT[clock]:
        return
    advice = "use a target of one thread" if clock == "wall" else "try later"
    raise TargetError(
        f"target {target.name}: unstable: {100 * flagged:.0f} % of the measurements are flagged (at most "
        f"{100 * UNSTABLE_ROWS:.0f} %), and two sessions of a network differ by {noise:.1f} % (at most "
        f"{MOST_NOISE_PCT[clock]:g} % by the {clock} clock), so no latency table was made; stop other work "
        f"on the device, fix its frequency, or {advice}"
    )
