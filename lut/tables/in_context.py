"""The in-context method: blocks are priced by their kernels in the profile of whole networks.

A block inside a network shares the layout changes at its borders and finds its data in the caches that its
neighbours left, which no block alone does (`latency.md`, section 2.1: ProxylessNAS's tables seem to be made
so). The price of an occurrence is the time of the kernels that `attribution` gives it, less what the profiler
itself takes per kernel, fitted on the same networks measured whole; the price of a block is the median over
its occurrences. The networks that check the table are not profiled.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lut.devices.device import Log, Measurement, Progress, Speed, run_rows
from lut.predictor.kernels.labels import Labelled, labelled
from lut.predictor.kernels.network import Overhead, fit_overhead
from profilers import Timing
from profilers.settle import settle
from profilers.stats import interval
from targets.errors import TargetError

from .alone import check_steady, medians, noise_pct, sessions_ms, with_twins
from .attribution import owners
from .budget import Stopwatch, export_in_time, export_wholes
from .calibrate import split
from .networks import Whole
from .request import IN_CONTEXT, Found, Request, row_key

TOGETHER, ROUNDS = 20, (8, 30)
"""Networks that are seen to cover the blocks: how many are loaded at a time, which bounds the memory; samples
of each, at least and at most. They make up in number what each of them lacks in exactness."""

WHOLES_SHARE = 0.5
"""Of the time left after the exports, at most, for the networks that calibrate and check: they come first."""

EACH_S = 0.3
"""For loading a profiled network twice, 20 ms at 32 px, and sampling it."""

FEW = 3
"""A median of fewer occurrences is flagged."""

DOUBT = 0.05
"""So is one whose standard error, from the spread over its occurrences, is a larger share of it."""

BOTH = ("time", "kernels")

_SMALLEST_MS = 1e-6
"""For a block of which the runtime leaves no kernel: prices stay above 0."""


def measure_in_context(
    request: Request,
    known: Mapping[str, Measurement],
    watch: Stopwatch,
    home: Path,
    log: Log,
    progress: Progress | None,
) -> Found:
    """Rows (those of earlier profiles too), whole networks, and how far two sessions of one differ."""
    checked = {whole.key for whole in split(request.wholes)[1]}
    wholes = {whole.key: whole for whole in request.wholes}
    more = {whole.key: whole for whole in request.profiled if whole.key not in wholes}
    files = export_wholes(wholes.values(), watch)
    further = export_in_time(more.values(), watch, len(files), EACH_S)
    exported = {**files, **further}
    profiled = [w for key, w in {**wholes, **more}.items() if key in exported and key not in checked]
    log(f"profiling {len(profiled)} whole networks, {len(checked)} others check, for {watch.left:.0f} s")
    until = time.monotonic() + watch.left
    models = with_twins(files)
    timing = Timing(max(WHOLES_SHARE * watch.left, 1.0), seed=request.seed, ci_pct=0.5, min_rounds=30)
    kinds = {key: BOTH for key in files if key not in checked}
    rows = run_rows(request.target, models, timing, log, kinds=kinds, progress=progress)
    times = settle([row for row in rows if row["kind"] == "time"])
    speed = Speed(home, request.target)
    by_key = {row["key"]: row for row in times}
    sessions = sessions_ms(by_key, files, speed, request.target.name)
    check_steady(request.target, by_key, noise_pct(sessions))
    if further:
        rows += _profile(request, further, until - time.monotonic(), log, progress)
    networks = labelled(rows)
    seen = [whole for whole in profiled if whole.key in networks]
    if len(seen) < FEW:
        raise TargetError(
            f"target {request.target.name}: time ran out before {FEW} networks were profiled; "
            "give more minutes"
        )
    overhead = fit_overhead([networks[whole.key] for whole in seen])
    found = occurrences(seen, networks, overhead)
    all_rows = {**_block_rows(found, rows, speed), **known}
    prices = {
        part.key: all_rows[row_key(IN_CONTEXT, part.key)].p50_ms
        for part in request.parts
        if row_key(IN_CONTEXT, part.key) in all_rows
    }
    counts = [len(found.get(part.key, ())) for part in request.parts]
    facts: dict[str, Any] = {
        "n_profiled": len(seen),
        "n_blocks_seen": sum(n > 0 for n in counts),
        "n_blocks_seen_often": sum(n >= FEW for n in counts),
        "profiler_slope": overhead.slope,
        "profiler_us_per_kernel": -1e3 * overhead.per_kernel_ms,
    }
    log(
        f"{facts['n_blocks_seen']} of {len(counts)} blocks occur in {len(seen)} profiled networks, "
        f"{facts['n_blocks_seen_often']} of them at least {FEW} times"
    )
    return Found(prices, all_rows, medians(sessions), noise_pct(sessions), facts, {})


def _block_rows(
    found: Mapping[str, Sequence[float]], rows: Sequence[Mapping[str, Any]], speed: Speed
) -> dict[str, Measurement]:
    """Rows of blocks by their keys in blocks.csv, taken from the speed of all rows to the fixed one."""
    level = {
        name: float(np.median([row[name] for row in rows]))
        for name in ("reference_p20_ms", "reference_p50_ms")
    }
    same = {**level, "clock": rows[0]["clock"]}
    return {
        row_key(IN_CONTEXT, key): speed.normalise({**summary(values), **same})
        for key, values in found.items()
    }


def _profile(
    request: Request, files: Mapping[str, bytes], seconds: float, log: Log, progress: Progress | None
) -> list[dict[str, Any]]:
    """Rows of the networks that only cover, group by group: those that there was time for."""
    timing = Timing(
        max(seconds, 1.0),
        seed=request.seed,
        min_rounds=ROUNDS[0],
        max_rounds=ROUNDS[1],
        together=TOGETHER,
    )
    return run_rows(request.target, files, timing, log, kinds=dict.fromkeys(files, BOTH), progress=progress)


def occurrences(
    wholes: Sequence[Whole], networks: Mapping[str, Labelled], overhead: Overhead
) -> dict[str, list[float]]:
    """Milliseconds of each occurrence of each block, by key; the profiler's own work is taken off."""
    out: dict[str, list[float]] = {}
    for whole in wholes:
        measured = networks[whole.key]
        owner = owners(measured.kernels, whole.prefixes, whole.key)
        sums = np.bincount(owner, weights=measured.kernel_ms, minlength=len(whole.parts))
        counts = np.bincount(owner, minlength=len(whole.parts))
        net = overhead.slope * sums + overhead.per_kernel_ms * counts
        net = np.maximum(net, np.maximum(0.05 * sums, _SMALLEST_MS))  # never cheaper than nothing
        for key, value in zip(whole.parts, net, strict=True):
            out.setdefault(key, []).append(float(value))
    return out


def summary(values: Sequence[float]) -> dict[str, Any]:
    """The row of a block from the milliseconds of its occurrences."""
    x = np.sort(np.array(values))
    p20, p50, p90 = (float(q) for q in np.quantile(x, [0.2, 0.5, 0.9]))
    low, high = interval(x, 0.5)
    # Interquartile range to standard deviation, and that to the error of a median, both as of a normal one.
    error = 1.253 * float(np.subtract(*np.quantile(x, [0.75, 0.25]))) / 1.349 / np.sqrt(len(x))
    return {
        "p20_ms": p20,
        "p50_ms": p50,
        "p90_ms": p90,
        "ci_low_ms": min(low, p50),
        "ci_high_ms": max(high, p50),
        "flag": "ok" if len(x) >= FEW and error <= DOUBT * p50 else "unstable",
        "n": len(x),
    }
