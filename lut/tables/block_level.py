"""The block-level method: every block in a session of its own, and whole networks beside them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lut.devices.callbacks import LogCallback, ProgressCallback
from lut.devices.device import run_job
from lut.devices.measurement import Measurement, ReferenceSpeed
from lut.devices.reference_networks import EMPTY_KEY, empty_onnx
from profilers import Timing
from targets.errors import TargetError

from .estimate_blocks import spread
from .request import ACCEPT_ADVICE, TableMeasurements, TableRequest
from .time_budget import Stopwatch, export_all, export_in_time

TWINS = ("#2", "#3")
"""Suffixes of the further sessions of a network: each is loaded three times and the median counts. Two
sessions of a file differ by 1 % in quiet minutes, by where their memory lies, and by more in busy ones; all
costs are calibrated on these networks."""

UNSTABLE_ROWS = 0.9
"""Share of disturbed rows above which the table says that it is noisy. Beside another process that works, 40
to 80 % are disturbed in tables whose error is 1.6 %."""

MOST_NOISE_PCT: Mapping[str, float] = {"cpu": 10.0, "wall": 3.0}
"""By clock: mean difference of two sessions of a network above which no table is made, however few rows are
disturbed; below it one is made, however many are. The median of three sessions is what counts; the wall clock
includes waiting, in bursts that no median removes."""

HALF_95 = 1.74
"""From the mean difference of two sessions to half of a 95 % interval of one: 1.96 / (2 / sqrt(pi))."""

WIDEST = 0.1
"""Half of an interval, relative, above which a block is not known to a few percent."""


def measure_block_level(
    request: TableRequest,
    known: Mapping[str, Measurement],
    watch: Stopwatch,
    home: Path,
    log: LogCallback,
    progress: ProgressCallback | None,
) -> TableMeasurements:
    """Measure the blocks that `known` lacks and the networks, as many blocks as there is time for.

    request: the table that is wanted.
    known: rows of earlier profiles by key.
    watch: the time that is left.
    home: folder of the reference's speed.
    log, progress: told what is measured, and how far it is.
    """
    blocks = request.blocks
    network_files = export_all(request.networks, watch, progress)
    unmeasured = [block for block in spread(blocks, request.seed) if block.key not in known]
    n_sampled = (1 + len(TWINS)) * len(network_files) + 2
    block_files = export_in_time(unmeasured, watch, n_sampled, progress=progress)
    models = {EMPTY_KEY: empty_onnx(), **with_twins(network_files)}
    models |= block_files
    log(
        f"measuring {len(block_files)} of {len(blocks)} blocks ({len(blocks) - len(unmeasured)} known) and "
        f"{len(network_files)} whole networks for at most {watch.left:.0f} s"
    )
    timing = Timing(seconds=max(watch.left, 1.0), seed=request.seed, ci_pct=0.5, min_rounds=30)
    taken = request.kept.rows(
        request.accept_noise,
        [EMPTY_KEY, *with_twins(network_files)],
        lambda: [*run_job(request.target, models, timing, log, progress=progress).values()],
    )
    measured = {row["key"]: row for row in taken}
    speed = ReferenceSpeed(home, request.target)
    sessions = sessions_ms(measured, network_files, speed, request.target.name)
    noise = noise_pct(sessions)
    disturbed = request.kept.unless(lambda: check_steady(request, measured, noise), taken)
    known_blocks = [EMPTY_KEY, *(block.key for block in blocks)]
    rows = {key: as_known(speed.normalise(measured[key]), noise) for key in known_blocks if key in measured}
    rows |= known
    empty_ms = rows[EMPTY_KEY].p20_ms
    return TableMeasurements(
        # A block cannot be cheaper than nothing.
        block_ms={
            block.key: max(rows[block.key].p20_ms - empty_ms, 0.05 * empty_ms)
            for block in blocks
            if block.key in rows
        },
        rows=rows,
        network_ms=medians(sessions),
        noise_pct=noise,
        disturbed=disturbed,
        facts={"empty_run_ms": empty_ms},
        file_bytes={key: len(data) for key, data in block_files.items()},
    )


def with_twins(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files, and each of them again under the names of its further sessions."""
    return {**files, **{key + twin: data for twin in TWINS for key, data in files.items()}}


def sessions_ms(
    rows: Mapping[str, Mapping[str, Any]], keys: Iterable[str], speed: ReferenceSpeed, target: str
) -> dict[str, list[float]]:
    """The latency of each network in each of its sessions; TargetError if one was not measured."""
    sessions = {}
    for key in keys:
        names = [key, *(key + twin for twin in TWINS)]
        if any(name not in rows for name in names):
            raise TargetError(
                f"target {target}: time ran out before the whole networks were measured "
                f"({len(rows)} models known); give more minutes"
            )
        sessions[key] = [speed.normalise(rows[name]).p20_ms for name in names]
    return sessions


def medians(sessions: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The median over the sessions of each network."""
    return {key: float(np.median(times)) for key, times in sessions.items()}


def noise_pct(sessions: Mapping[str, Sequence[float]]) -> float:
    """Mean difference of two sessions of a network, in percent."""
    pairs = (pair for times in sessions.values() for pair in itertools.combinations(times, 2))
    return 100 * float(np.mean([abs(a / b - 1) for a, b in pairs]))


def as_known(row: Measurement, noise: float) -> Measurement:
    """A block's row of one session, as uncertain as the sessions of whole networks say; noise: percent.

    Where they agree, it is not the samples of the one session that decide on the flag, but the interval.
    """
    halves = [np.hypot(row.p50_ms - end, row.p50_ms * HALF_95 * noise / 100)
              for end in (row.ci_low_ms, row.ci_high_ms)]  # fmt: skip
    width = max(halves) / row.p50_ms
    reason = f"the interval is {width:.0%} wide on a side" if width > WIDEST else ""
    return replace(
        row,
        ci_low_ms=max(row.p50_ms - float(halves[0]), 0.0),
        ci_high_ms=row.p50_ms + float(halves[1]),
        flag="unstable" if reason else "ok",
        reason=reason,
    )


def check_steady(request: TableRequest, rows: Mapping[str, Mapping[str, Any]], noise: float) -> str | None:
    """None where the rows are steady, else how disturbed the machine was.

    TargetError where sessions of a network differ too much, unless the request accepts it. noise: percent.
    """
    clock = str(next(iter(rows.values()))["clock"])
    flagged = float(np.mean([row["flag"] != "ok" for row in rows.values()]))
    refused = noise > MOST_NOISE_PCT[clock]
    if refused and not request.accept_noise:
        advice = "use a target of one thread" if clock == "wall" else "try later"
        raise TargetError(
            f"target {request.target.name}: unstable: two sessions of a network differ by {noise:.1f} % (at "
            f"most {MOST_NOISE_PCT[clock]:g} % by the {clock} clock), and {100 * flagged:.0f} % of the "
            "measurements were disturbed, so no latency table was made; stop other work on the device, fix "
            f"its frequency, or {advice}. {ACCEPT_ADVICE}"
        )
    if refused or flagged > UNSTABLE_ROWS:
        return (
            f"{100 * flagged:.0f} % of the measurements were disturbed, and two sessions of a network differ "
            f"by {noise:.1f} %"
        )
    return None
