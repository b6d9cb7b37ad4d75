"""Make the latency table of a space: reuse, measure, predict the rest, calibrate, check, write."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lut.devices.callbacks import LogCallback, ProgressCallback
from lut.devices.device import device_context, tables_folder
from lut.devices.measurement import Measurement
from lut.predictor.models.quantise import as_run
from targets import Context, Target
from targets.errors import TargetError, UsageError
from targets.files import read_json, write_json

from . import blocks_csv, calibrate
from . import estimate_blocks as predictor
from .block_level import measure_block_level
from .calibrate import MIN_CALIBRATION, MIN_CHECK, BlockCosts, split
from .in_context import measure_in_context
from .networks import TableBlock, TableNetwork
from .request import BLOCK_LEVEL, IN_CONTEXT, TableMeasurements, TableRequest, check_method, row_key
from .table import ROWS_FILE, SpaceTable, filed_under, table_path
from .time_budget import Stopwatch

Measure = Callable[
    [TableRequest, Mapping[str, Measurement], Stopwatch, Path, LogCallback, ProgressCallback | None],
    TableMeasurements,
]

_MEASURE: Mapping[str, Measure] = {
    BLOCK_LEVEL: measure_block_level,
    IN_CONTEXT: measure_in_context,
}

Item = TypeVar("Item", TableBlock, TableNetwork)


def space_table(
    target: Target,
    space_id: str,
    parts: Sequence[TableBlock],
    wholes: Sequence[TableNetwork],
    *,
    minutes: float,
    home: Path,
    exporter: str,
    seed: int,
    log: LogCallback,
    progress: ProgressCallback | None = None,
    method: str = BLOCK_LEVEL,
    profiled: Sequence[TableNetwork] = (),
) -> SpaceTable:
    """The table of the space on the target, from the data home where one of this context lies there.

    Measures for at most `minutes` of CPU time, `Part.onnx()` and `Whole.onnx()` included; for a target of
    precision int8 they are quantised first. At least 20 wholes: the half calibrates, at least 8, and the
    others, at least 12, say how far the table is off. exporter: who made the files and, where that may
    differ, for which batch size. method: `block-level` measures each block alone, `in-context` prices it by
    its kernels in the profile of the networks that calibrate and of those in `profiled`, in that order, as
    many as there is time for.
    """
    check_method(method)
    _check_request(parts, wholes, minutes)
    _check_networks([*wholes, *profiled], {part.key for part in parts}, method)
    space_id = filed_under(space_id, method)
    context = device_context(target, exporter)
    folder = tables_folder(home, target) / context.hash
    if table_path(folder, space_id).exists():
        table = SpaceTable.load(folder, space_id, context)
        if all(part.key in table.blocks.alone_ms for part in parts):
            log(f"latency table of {space_id} on {target.name} is reused ({table.date})")
            return table
        log(f"latency table of {space_id} lacks blocks: topping it up")
    else:
        _explain_others(folder, context, target, log)
    watch = Stopwatch(minutes * 60)
    request = TableRequest(
        target,
        method,
        space_id,
        _as_target_runs(parts, target),
        _as_target_runs(wholes, target),
        _as_target_runs(profiled, target),
        seed,
    )
    known = blocks_csv.read_rows(folder / ROWS_FILE)
    found = _MEASURE[method](request, known, watch, home, log, progress)
    table = _assemble(request, found, context, folder)
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


def _check_request(parts: Sequence[TableBlock], wholes: Sequence[TableNetwork], minutes: float) -> None:
    if not (np.isfinite(minutes) and minutes > 0):
        raise UsageError(f"minutes of profiling must be above 0, got {minutes}")
    keys = [p.key for p in parts]
    if len(set(keys)) != len(keys) or not keys:
        raise UsageError("a space to profile needs blocks, each with a key of its own")
    if len({w.key for w in wholes}) < MIN_CALIBRATION + MIN_CHECK:
        raise UsageError(
            f"a latency table needs at least {MIN_CALIBRATION} whole networks to calibrate on and "
            f"{MIN_CHECK} others to check, got {len({w.key for w in wholes})} different ones"
        )


def _check_networks(networks: Sequence[TableNetwork], known: set[str], method: str) -> None:
    """Every network is made of known blocks and, where it is profiled, says where each begins."""
    for whole in networks:
        if method == IN_CONTEXT and len(whole.prefixes) != len(whole.parts):
            raise UsageError(
                f"whole network {whole.key} has {len(whole.parts)} blocks and {len(whole.prefixes)} prefixes "
                f"of node names; the method {IN_CONTEXT} needs one for each"
            )
        for key in whole.parts:
            if key not in known:
                raise UsageError(
                    f"whole network {whole.key} has a block {key!r} that is not among the blocks given"
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
    request: TableRequest,
    found: TableMeasurements,
    context: Context,
    folder: Path,
) -> SpaceTable:
    """Predict what was not measured, calibrate, check on other networks, write."""
    parts, rows = request.parts, found.rows
    measured = [p for p in parts if p.key in found.price_ms]
    alone_ms, held_out, files = _fill(request, measured, found.price_ms)
    blocks = BlockCosts(alone_ms, _weight_bytes(parts, found.file_bytes, request.seed))
    calibration, check = split(request.wholes)
    keys = {kind: [w.parts for w in group] for kind, group in (("fit", calibration), ("check", check))}
    fit_ms, check_ms = (np.array([found.whole_ms[w.key] for w in g]) for g in (calibration, check))
    sums = blocks.sums(keys["fit"])
    line, straight = (calibrate.fit_line(sums, fit_ms, square) for square in (True, False))
    predicted, by_sum = (one.networks_ms(blocks, keys["check"]) for one in (line, straight))
    a, b = calibrate.fit_macs(np.array([float(w.macs) for w in calibration]), fit_ms)
    by_macs = np.array([a + b * w.macs for w in check])
    report: dict[str, Any] = {
        **calibrate.errors(predicted, check_ms),
        **{f"sum_{k}": v for k, v in calibrate.errors(by_sum, check_ms).items()},
        **{f"macs_line_{k}": v for k, v in calibrate.errors(by_macs, check_ms).items()},
        **held_out,
        **found.facts,
        "noise_floor_pct": found.noise_pct,
        "n_calibration": len(calibration),
        "n_check": len(check),
        "n_rows_measured": len(measured),
        "n_rows_predicted": len(parts) - len(measured),
        "check": [
            {"key": w.key, "predicted_ms": float(p), "measured_ms": float(t)}
            for w, p, t in zip(check, predicted, check_ms, strict=True)
        ],
        "calibration": [
            {"key": w.key, "measured_ms": float(t)} for w, t in zip(calibration, fit_ms, strict=True)
        ],
    }
    table = SpaceTable(
        space_id=request.space_id,
        target=request.target.name,
        context=context,
        blocks=blocks,
        line=line,
        errors=report,
        margin=float(np.quantile(np.abs(predicted / check_ms - 1), 0.9)),
        measured_rows={key: rows[key] for key in (row_key(request.method, p.key) for p in measured)},
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        seed=request.seed,
        method=request.method,
    )
    write_json(folder / "context.json", {"hash": context.hash, "facts": dict(context.facts)})
    blocks_csv.write_rows(folder / ROWS_FILE, {**blocks_csv.read_rows(folder / ROWS_FILE), **rows})
    table.save(folder, files)
    return table


def _weight_bytes(parts: Sequence[TableBlock], file_bytes: Mapping[str, int], seed: int) -> dict[str, float]:
    """As the features say, else the size of the exported file, else predicted from those sizes."""
    given = {p.key: p.features["weight_bytes"] for p in parts if "weight_bytes" in p.features}
    known = {p.key: given.get(p.key, float(file_bytes.get(p.key, 0))) for p in parts}
    missing = [p for p in parts if known[p.key] <= 0 and p.key not in given]
    exported = [p for p in parts if known[p.key] > 0]
    if missing and exported:
        sizes = np.array([known[p.key] for p in exported])
        known |= zip(
            (p.key for p in missing), predictor.predict_once(exported, sizes, missing, seed), strict=True
        )
    return known


def _fill(
    request: TableRequest, measured: Sequence[TableBlock], price_ms: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, float], dict[str, bytes]]:
    """What each block costs before the calibration, in ms; errors of the predictor; its file."""
    alone = {p.key: price_ms[p.key] for p in measured}
    times = np.array(list(alone.values()))
    if len(measured) < predictor.MIN_ROWS:
        if len(measured) < len(request.parts):
            raise TargetError(
                f"only {len(measured)} of {len(request.parts)} blocks could be measured in the time, which "
                "is too few to predict the others; give more minutes"
            )
        return alone, {}, {}
    held_out = predictor.held_out_errors(measured, times, request.seed)
    model = predictor.fit(measured, times, request.seed)
    rest = [p for p in request.parts if p.key not in alone]
    if rest:
        alone |= {p.key: float(t) for p, t in zip(rest, model.predict_ms(rest), strict=True)}
    return alone, held_out, {f"{table_path(Path(), request.space_id).stem}.predictor.onnx": model.trees}
