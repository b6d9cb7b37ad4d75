"""The in-context method: the cost of a block comes from its kernels in the profile of whole networks.

A block inside a network shares the layout changes at its borders with its neighbours and finds its data in
the caches that they left; a block on its own does not. The cost of an occurrence is the time of the kernels
that `attribution` assigns to it, less the overhead of the profiler per kernel, which is fitted on the same
networks measured whole. The cost of a block is the median over its occurrences. The networks that check the
table are not profiled.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lut.devices.callbacks import LogCallback, ProgressCallback
from lut.devices.device import run_rows
from lut.devices.measurement import Measurement, ReferenceSpeed
from lut.predictor.kernels.labels import Labelled, labelled
from lut.predictor.kernels.network import fit_profiler_cost, without_profiler
from profilers import Timing
from profilers.settle import settle
from profilers.stats import flagged, interval
from targets.errors import TargetError

from .attribution import owners
from .block_level import check_steady, medians, noise_pct, sessions_ms, with_twins
from .calibrate import split
from .networks import TableNetwork
from .request import IN_CONTEXT, TableMeasurements, TableRequest, row_key
from .time_budget import Stopwatch, export_all, export_in_time

TOGETHER, ROUNDS = 20, (8, 30)
"""For the networks that are profiled only to see blocks in: how many are loaded at a time, which bounds the
memory; samples of each, at least and at most. Their number makes up for the noise of each."""

NETWORKS_SHARE = 0.5
"""Share of the time left after the exports that the networks that calibrate and check may take; they come
first."""

EACH_S = 0.3
"""For loading a profiled network twice, 20 ms at 32 px, and sampling it."""

FEW = 3
"""A median of fewer occurrences is flagged."""

MOST_ERROR = 0.05
"""A median is flagged too where its standard error, from the spread over its occurrences, is a larger share
of it."""

BOTH = ("time", "kernels")

_SMALLEST_MS = 1e-6
"""For a block of which the runtime leaves no kernel: costs stay above 0."""


def measure_in_context(
    request: TableRequest,
    known: Mapping[str, Measurement],
    watch: Stopwatch,
    home: Path,
    log: LogCallback,
    progress: ProgressCallback | None,
) -> TableMeasurements:
    """Measure the networks, profile those that do not check and as many further ones as there is time for.

    Parameters as for `measure_block_level`; rows that `known` has are not replaced.
    """
    checking = {network.key for network in split(request.networks)[1]}
    networks = {network.key: network for network in request.networks}
    further = {network.key: network for network in request.profiled if network.key not in networks}
    files = export_all([*networks.values()], watch, progress)
    further_files = export_in_time([*further.values()], watch, len(files), EACH_S, progress)
    exported = {**files, **further_files}
    profiled = [n for key, n in {**networks, **further}.items() if key in exported and key not in checking]
    log(f"profiling {len(profiled)} whole networks, {len(checking)} others check, for {watch.left:.0f} s")
    until = time.monotonic() + watch.left
    timing = Timing(max(NETWORKS_SHARE * watch.left, 1.0), seed=request.seed, ci_pct=0.5, min_rounds=30)
    kinds = {key: BOTH for key in files if key not in checking}
    twins = with_twins(files)
    rows = list(
        request.kept.rows(
            request.accept_noise,
            twins,
            lambda: run_rows(request.target, twins, timing, log, kinds=kinds, progress=progress),
        )
    )
    latencies = {row["key"]: row for row in settle([row for row in rows if row["kind"] == "time"])}
    speed = ReferenceSpeed(home, request.target)
    sessions = sessions_ms(latencies, files, speed, request.target.name)
    noise = noise_pct(sessions)
    disturbed = request.kept.unless(lambda: check_steady(request, latencies, noise), rows)
    if further_files:
        rows += _profile(request, further_files, until - time.monotonic(), log, progress)
    profiles = labelled(rows)
    seen = [network for network in profiled if network.key in profiles]
    if len(seen) < FEW:
        raise TargetError(
            f"target {request.target.name}: time ran out before {FEW} networks were profiled; "
            "give more minutes"
        )
    measured = [profiles[network.key] for network in seen]
    cost = fit_profiler_cost(measured)
    found_ms = occurrences(seen, without_profiler(measured, cost))
    block_rows = {**_block_rows(found_ms, rows, speed), **known}
    counts = [len(found_ms.get(block.key, ())) for block in request.blocks]
    facts: dict[str, Any] = {
        "n_profiled": len(seen),
        "n_blocks_seen": sum(n > 0 for n in counts),
        "n_blocks_seen_often": sum(n >= FEW for n in counts),
        "profiler_slope": cost.slope,
        "profiler_us_per_kernel": {family: 1e3 * ms for family, ms in cost.per_kernel_ms.items()},
    }
    log(
        f"{facts['n_blocks_seen']} of {len(counts)} blocks occur in {len(seen)} profiled networks, "
        f"{facts['n_blocks_seen_often']} of them at least {FEW} times"
    )
    row_keys = {block.key: row_key(IN_CONTEXT, block.key) for block in request.blocks}
    return TableMeasurements(
        block_ms={key: block_rows[row].p50_ms for key, row in row_keys.items() if row in block_rows},
        rows=block_rows,
        network_ms=medians(sessions),
        noise_pct=noise,
        disturbed=disturbed,
        facts=facts,
        file_bytes={},
    )


def _block_rows(
    found_ms: Mapping[str, Sequence[float]], rows: Sequence[Mapping[str, Any]], speed: ReferenceSpeed
) -> dict[str, Measurement]:
    """Rows of blocks by their keys in blocks.csv, scaled from the speed of all `rows` to the fixed one."""
    level = {
        name: float(np.median([row[name] for row in rows]))
        for name in ("reference_p20_ms", "reference_p50_ms")
    }
    same = {**level, "clock": rows[0]["clock"]}
    return {
        row_key(IN_CONTEXT, key): speed.normalise({**summary(times_ms), **same})
        for key, times_ms in found_ms.items()
    }


def _profile(
    request: TableRequest,
    files: Mapping[str, bytes],
    seconds: float,
    log: LogCallback,
    progress: ProgressCallback | None,
) -> list[dict[str, Any]]:
    """Rows of the further networks, group by group: those that there was time for."""
    timing = Timing(
        max(seconds, 1.0),
        seed=request.seed,
        min_rounds=ROUNDS[0],
        max_rounds=ROUNDS[1],
        together=TOGETHER,
    )
    return run_rows(request.target, files, timing, log, kinds=dict.fromkeys(files, BOTH), progress=progress)


def occurrences(networks: Sequence[TableNetwork], profiles: Sequence[Labelled]) -> dict[str, list[float]]:
    """Milliseconds of each occurrence of each block, by key. profiles: of each network, less the profiler."""
    found_ms: dict[str, list[float]] = {}
    for network, profile in zip(networks, profiles, strict=True):
        owner = owners(profile.kernels, network.prefixes, network.key)
        sums = np.bincount(owner, weights=profile.kernel_ms, minlength=len(network.blocks))
        for key, value in zip(network.blocks, np.maximum(sums, _SMALLEST_MS), strict=True):
            found_ms.setdefault(key, []).append(float(value))
    return found_ms


def summary(times_ms: Sequence[float]) -> dict[str, Any]:
    """The row of a block from the milliseconds of its occurrences."""
    x = np.sort(np.array(times_ms))
    p20, p50, p90 = (float(q) for q in np.quantile(x, [0.2, 0.5, 0.9]))
    low, high = interval(x, 0.5)
    # From the interquartile range to the standard deviation, and from that to the standard error of a median,
    # both as of a normal distribution.
    error = 1.253 * float(np.subtract(*np.quantile(x, [0.75, 0.25]))) / 1.349 / np.sqrt(len(x))
    reasons = [f"it was seen {len(x)} times"] if len(x) < FEW else []
    if error > MOST_ERROR * p50:
        reasons.append(f"its median is known to {error / p50:.0%}")
    return {
        "p20_ms": p20,
        "p50_ms": p50,
        "p90_ms": p90,
        "ci_low_ms": min(low, p50),
        "ci_high_ms": max(high, p50),
        **flagged(reasons),
        "n": len(x),
    }
