"""Make the latency table of a space: reuse, measure, estimate the rest, calibrate, check, write."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lut.caveats import NOISE
from lut.devices.callbacks import LogCallback, ProgressCallback
from lut.devices.device import device_context, tables_folder
from lut.devices.measurement import Measurement
from lut.predictor.models.quantise import as_run
from targets import Context, Target
from targets.errors import TargetError, UsageError
from targets.files import read_json, safe_name, write_json

from . import blocks_csv, estimate_blocks
from .block_level import measure_block_level
from .calibrate import (
    MIN_CALIBRATION,
    MIN_CHECK,
    BlockCosts,
    Calibration,
    errors,
    fit_calibration,
    fit_macs,
    split,
)
from .in_context import measure_in_context
from .kept_rows import KeptRows
from .networks import TableBlock, TableNetwork
from .request import BLOCK_LEVEL, IN_CONTEXT, TableMeasurements, TableRequest, check_method, row_key
from .table import ROWS_FILE, SpaceTable, filed_under, of_earlier_version, table_path
from .time_budget import Stopwatch

Measure = Callable[
    [TableRequest, Mapping[str, Measurement], Stopwatch, Path, LogCallback, ProgressCallback | None],
    TableMeasurements,
]

_MEASURE: Mapping[str, Measure] = {
    BLOCK_LEVEL: measure_block_level,
    IN_CONTEXT: measure_in_context,
}

OF_TEN = 1.46
"""From the mean difference of two measurements to what nine of ten stay within, of normal ones:
1.645 / (2 / sqrt(pi))."""

Item = TypeVar("Item", TableBlock, TableNetwork)


def space_table(
    target: Target,
    space_id: str,
    blocks: Sequence[TableBlock],
    networks: Sequence[TableNetwork],
    *,
    minutes: float,
    home: Path,
    exporter: str,
    seed: int,
    log: LogCallback,
    progress: ProgressCallback | None = None,
    method: str = BLOCK_LEVEL,
    profiled: Sequence[TableNetwork] = (),
    accept_noise: bool = False,
) -> SpaceTable:
    """The table of the space on the target: from the data home if one of this context is there, else made.

    target: the device; where its precision is int8, the exported files are quantised first.
    space_id: what the table is filed under.
    blocks: all distinct blocks of the space.
    networks: at least 20; half of them calibrate (at least 8), the others (at least 12) measure the error.
    minutes: limit on CPU time, exports included.
    home: the data home.
    exporter: who made the files and, where that may differ, for which batch size.
    seed: of every random draw.
    log, progress: told what is done, and how far it is.
    method: `block-level` measures each block in a session of its own. `in-context` takes its cost from its
        kernels in the profiles of the networks that calibrate and of those in `profiled`.
    profiled: further networks, in this order, as many as there is time for.
    accept_noise: make the table on a disturbed machine too; `errors["noise"]` says how disturbed, and the
        margin is as wide.
    """
    check_method(method)
    _check_request(blocks, networks, minutes)
    _check_networks([*networks, *profiled], {block.key for block in blocks}, method)
    space_id = filed_under(space_id, method)
    context = device_context(target, exporter)
    folder = tables_folder(home, target) / context.hash
    if table_path(folder, space_id).exists() and of_earlier_version(folder, space_id):
        log(f"latency table of {space_id} is of an earlier version of hwnas: calibrated anew")
    elif table_path(folder, space_id).exists():
        table = SpaceTable.load(folder, space_id, context)
        if all(block.key in table.blocks.uncalibrated_ms for block in blocks):
            log(f"latency table of {space_id} on {target.name} is reused ({table.date})")
            return table
        log(f"latency table of {space_id} lacks blocks: topping it up")
    else:
        _explain_others(folder, context, target, log)
    watch, kept = Stopwatch(minutes * 60), KeptRows(folder, safe_name(space_id), log)
    request = TableRequest(
        target=target,
        method=method,
        space_id=space_id,
        blocks=_as_target_runs(blocks, target),
        networks=_as_target_runs(networks, target),
        profiled=_as_target_runs(profiled, target),
        seed=seed,
        kept=kept,
        accept_noise=accept_noise,
    )
    known = blocks_csv.read_rows(folder / ROWS_FILE)
    measured = _MEASURE[method](request, known, watch, home, log, progress)
    if measured.disturbed is not None:
        log(f"the latency table of {space_id} is noisy: {measured.disturbed}; its margin is as much wider")
    table = _assemble(request, measured, context, folder)
    kept.drop()
    mape_pct, macs_line_pct = (table.errors[k] for k in ("mape_pct", "macs_line_mape_pct"))
    if mape_pct > macs_line_pct:
        log(
            f"latency table of {space_id}: off by {mape_pct:.1f} % on held-out networks; a straight line in "
            f"MACs is off by {macs_line_pct:.1f} %, so that a budget on macs says more than one on latency_ms"
        )
    return table


def _as_target_runs(items: Sequence[Item], target: Target) -> list[Item]:
    """The same blocks or networks, exported in the precision of the target."""
    return [dataclasses.replace(item, onnx=partial(_as_run, item.onnx, target)) for item in items]


def _as_run(onnx: Callable[[], bytes], target: Target) -> bytes:
    return as_run(onnx(), target)


def _check_request(blocks: Sequence[TableBlock], networks: Sequence[TableNetwork], minutes: float) -> None:
    if not (np.isfinite(minutes) and minutes > 0):
        raise UsageError(f"minutes of profiling must be above 0, got {minutes}")
    keys = [block.key for block in blocks]
    if len(set(keys)) != len(keys) or not keys:
        raise UsageError("a space to profile needs blocks, each with a key of its own")
    n_networks = len({network.key for network in networks})
    if n_networks < MIN_CALIBRATION + MIN_CHECK:
        raise UsageError(
            f"a latency table needs at least {MIN_CALIBRATION} whole networks to calibrate on and "
            f"{MIN_CHECK} others to check, got {n_networks} different ones"
        )


def _check_networks(networks: Sequence[TableNetwork], known: set[str], method: str) -> None:
    """Every network is made of known blocks and, where it is profiled, has a prefix for each."""
    for network in networks:
        if method == IN_CONTEXT and len(network.prefixes) != len(network.blocks):
            raise UsageError(
                f"whole network {network.key} has {len(network.blocks)} blocks and {len(network.prefixes)} "
                f"prefixes of node names; the method {IN_CONTEXT} needs one for each"
            )
        for key in network.blocks:
            if key not in known:
                raise UsageError(
                    f"whole network {network.key} has a block {key!r} that is not among the blocks given"
                )


def _explain_others(folder: Path, context: Context, target: Target, log: LogCallback) -> None:
    """Say why tables that exist for this target are not used."""
    others = sorted(p.parent for p in folder.parent.glob("*/context.json") if p.parent != folder)
    for other in others[:1]:
        document = read_json(other / "context.json", "context of a latency table")
        facts = document.get("facts") if isinstance(document, dict) else None
        if isinstance(facts, dict):
            log(
                f"a table of {target.name} from another context is not used: "
                f"{context.explain(Context(facts))}"
            )


def _assemble(
    request: TableRequest, measured: TableMeasurements, context: Context, folder: Path
) -> SpaceTable:
    """Estimate the blocks that were not measured, calibrate, check on other networks, write."""
    known = [block for block in request.blocks if block.key in measured.block_ms]
    uncalibrated_ms, held_out, files = _estimate_missing(request, known, measured.block_ms)
    costs = BlockCosts(uncalibrated_ms, _weight_bytes(request.blocks, measured.file_bytes, request.seed))
    calibration, costs, margin, report = _calibrate(request, costs, measured.network_ms)
    if measured.disturbed is not None:
        margin = float(np.hypot(margin, OF_TEN * measured.noise_pct / 100))
        report[NOISE] = measured.disturbed
    report |= {
        **held_out,
        **measured.facts,
        "noise_floor_pct": measured.noise_pct,
        "n_rows_measured": len(known),
        "n_rows_predicted": len(request.blocks) - len(known),
    }
    table = SpaceTable(
        space_id=request.space_id,
        target=request.target.name,
        context=context,
        blocks=costs,
        calibration=calibration,
        errors=report,
        margin=margin,
        measured_rows={
            key: measured.rows[key] for key in (row_key(request.method, block.key) for block in known)
        },
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        seed=request.seed,
        method=request.method,
    )
    write_json(folder / "context.json", context.to_json())
    blocks_csv.add_rows(folder / ROWS_FILE, measured.rows)
    table.save(folder, files)
    return table


def _calibrate(
    request: TableRequest, costs: BlockCosts, network_ms: Mapping[str, float]
) -> tuple[Calibration, BlockCosts, float, dict[str, Any]]:
    """The calibration on one half of the networks, with its costs; its margin and errors on the other."""
    fitted, checked = split(request.networks)
    groups = {block.key: block.group for block in request.blocks}
    fitted_ms, checked_ms = (np.array([network_ms[n.key] for n in group]) for group in (fitted, checked))
    parts = [network.blocks for network in fitted]
    calibration, with_factors = fit_calibration(costs, groups, parts, fitted_ms, square=True)
    by_sum = fit_calibration(costs, groups, parts, fitted_ms, square=False)
    predicted, predicted_by_sum = (
        one.networks_ms(of, [network.blocks for network in checked])
        for one, of in ((calibration, with_factors), by_sum)
    )
    a, b = fit_macs(np.array([float(network.macs) for network in fitted]), fitted_ms)
    by_macs = np.array([a + b * network.macs for network in checked])
    report = {
        **errors(predicted, checked_ms),
        **{f"sum_{k}": v for k, v in errors(predicted_by_sum, checked_ms).items()},
        **{f"macs_line_{k}": v for k, v in errors(by_macs, checked_ms).items()},
        "n_calibration": len(fitted),
        "n_check": len(checked),
        "check": [
            {"key": network.key, "predicted_ms": float(p), "measured_ms": float(t)}
            for network, p, t in zip(checked, predicted, checked_ms, strict=True)
        ],
        "calibration": [
            {"key": network.key, "measured_ms": float(t)}
            for network, t in zip(fitted, fitted_ms, strict=True)
        ],
    }
    margin = float(np.quantile(np.abs(predicted / checked_ms - 1), 0.9))
    return calibration, with_factors, margin, report


def _weight_bytes(blocks: Sequence[TableBlock], file_bytes: Mapping[str, int], seed: int) -> dict[str, float]:
    """From the features, else the size of the exported file, else estimated from those sizes."""
    listed = {b.key: b.features["weight_bytes"] for b in blocks if "weight_bytes" in b.features}
    known = {b.key: listed.get(b.key, float(file_bytes.get(b.key, 0))) for b in blocks}
    missing = [b for b in blocks if known[b.key] <= 0 and b.key not in listed]
    exported = [b for b in blocks if known[b.key] > 0]
    if missing and exported:
        sizes = np.array([known[b.key] for b in exported])
        estimates = estimate_blocks.fit_and_estimate(exported, sizes, missing, seed)
        known |= zip((b.key for b in missing), estimates, strict=True)
    return known


def _estimate_missing(
    request: TableRequest, measured: Sequence[TableBlock], block_ms: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, float], dict[str, bytes]]:
    """The uncalibrated cost of every block; errors of the estimator; its file by name."""
    costs_ms = {block.key: block_ms[block.key] for block in measured}
    times_ms = np.array(list(costs_ms.values()))
    if len(measured) < estimate_blocks.MIN_ROWS:
        if len(measured) < len(request.blocks):
            raise TargetError(
                f"only {len(measured)} of {len(request.blocks)} blocks could be measured in the time, which "
                "is too few to predict the others; give more minutes"
            )
        return costs_ms, {}, {}
    held_out = estimate_blocks.held_out_errors(measured, times_ms, request.seed)
    estimator = estimate_blocks.fit(measured, times_ms, request.seed)
    missing = [block for block in request.blocks if block.key not in costs_ms]
    if missing:
        estimates = estimator.predict_ms(missing)
        costs_ms |= {block.key: float(t) for block, t in zip(missing, estimates, strict=True)}
    return costs_ms, held_out, {f"{safe_name(request.space_id)}.predictor.onnx": estimator.trees}
