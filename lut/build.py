"""Make the latency table of a space: reuse, measure, predict the rest, calibrate, check, write."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from profilers import Timing
from targets import Context, Target
from targets.errors import TargetError, UsageError
from targets.files import read_json, write_json

from . import blocks_csv, calibrate, predictor
from .budget import Stopwatch, export_parts, export_wholes
from .calibrate import Blocks
from .device import Log, Measurement, Progress, Speed, device_context, run_job, tables_folder
from .networks import Part, Whole
from .reference import EMPTY_KEY, empty_onnx
from .table import ROWS_FILE, SpaceTable, table_path

MIN_CALIBRATION, MIN_CHECK = 8, 12
TWINS = ("#2", "#3")
"""Whole networks are loaded three times and the median counts: two sessions of a file differ by 1 % in quiet
minutes, by where their memory lies, and by more in busy ones; all prices hang on these networks."""


UNSTABLE_ROWS = 0.5
"""Share of flagged rows above which no table is made."""

MOST_NOISE_PCT: Mapping[str, float] = {"cpu": 10.0, "wall": 3.0}
"""Mean difference of two sessions of a whole network above which no table is made, by the clock. The median
of three is what counts; the wall clock has waiting in it, in bursts that no median removes."""


@dataclass(frozen=True, slots=True)
class Request:
    """Which table is wanted."""

    target: Target
    space_id: str
    parts: Sequence[Part]
    wholes: Sequence[Whole]
    seed: int


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured. noise_pct: mean difference of two sessions of a network. file_bytes: of exports."""

    rows: Mapping[str, Measurement]
    whole_ms: Mapping[str, float]
    noise_pct: float
    file_bytes: Mapping[str, int]


def space_table(
    target: Target,
    space_id: str,
    parts: Sequence[Part],
    wholes: Sequence[Whole],
    *,
    minutes: float,
    home: Path,
    exporter: str,
    seed: int,
    log: Log,
    progress: Progress | None = None,
) -> SpaceTable:
    """The table of the space on the target, from the data home where one of this context lies there.

    Measures for at most `minutes` of CPU time, `Part.onnx()` and `Whole.onnx()` included. At least 20
    wholes: the half calibrates, at least 8, and the others, at least 12, say how far the table is off.
    """
    _check_request(parts, wholes, minutes)
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
    request = Request(target, space_id, parts, wholes, seed)
    return _assemble(request, _measure(request, watch, folder, home, log, progress), context, folder)


def _check_request(parts: Sequence[Part], wholes: Sequence[Whole], minutes: float) -> None:
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
    known = set(keys)
    for whole in wholes:
        for key in whole.parts:
            if key not in known:
                raise UsageError(
                    f"whole network {whole.key} has a block {key!r} that is not among the blocks given"
                )


def _explain_others(folder: Path, context: Context, target: Target, log: Log) -> None:
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


def _measure(
    request: Request, watch: Stopwatch, folder: Path, home: Path, log: Log, progress: Progress | None
) -> Found:
    """Rows (those of earlier profiles too), whole networks, and how far two sessions of one differ."""
    parts = request.parts
    known = blocks_csv.read_rows(folder / ROWS_FILE)
    whole_files = export_wholes(request.wholes, watch)
    wanted = [p for p in predictor.spread(parts, request.seed) if p.key not in known]
    part_files = export_parts(wanted, watch, (1 + len(TWINS)) * len(whole_files) + 2)
    models = {EMPTY_KEY: empty_onnx(), **whole_files}
    models |= {key + twin: data for twin in TWINS for key, data in whole_files.items()}
    models |= part_files
    log(
        f"measuring {len(part_files)} of {len(parts)} blocks ({len(parts) - len(wanted)} known) and "
        f"{len(whole_files)} whole networks for at most {watch.left:.0f} s"
    )
    timing = Timing(seconds=max(watch.left, 1.0), seed=request.seed, ci_pct=0.5, min_rounds=30)
    raw = run_job(request.target, models, timing, log, progress=progress)
    speed = Speed(home, request.target)
    whole_ms, differences = {}, []
    for key in whole_files:
        sessions = [key, *(key + twin for twin in TWINS)]
        if any(name not in raw for name in sessions):
            raise TargetError(
                f"target {request.target.name}: time ran out before the whole networks were measured "
                f"({len(raw)} of {len(models)} models known); give more minutes"
            )
        times = [speed.normalise(raw[name]).p20_ms for name in sessions]
        whole_ms[key] = float(np.median(times))
        differences += [abs(a / b - 1) for a, b in itertools.combinations(times, 2)]
    noise_pct = 100 * float(np.mean(differences))
    _check_steady(request.target, raw, noise_pct)
    rows = {k: speed.normalise(raw[k]) for k in [EMPTY_KEY, *part_files] if k in raw}
    sizes = {key: len(data) for key, data in part_files.items()}
    return Found({**rows, **known}, whole_ms, noise_pct, sizes)


def _check_steady(target: Target, raw: Mapping[str, Mapping[str, Any]], noise_pct: float) -> None:
    """TargetError where the machine was too disturbed for prices that hang on these rows."""
    clock = str(next(iter(raw.values()))["clock"])
    flagged = float(np.mean([row["flag"] != "ok" for row in raw.values()]))
    if flagged <= UNSTABLE_ROWS and noise_pct <= MOST_NOISE_PCT[clock]:
        return
    advice = "use a target of one thread" if clock == "wall" else "try later"
    raise TargetError(
        f"target {target.name}: unstable: {100 * flagged:.0f} % of the measurements are flagged (at most "
        f"{100 * UNSTABLE_ROWS:.0f} %), and two sessions of a network differ by {noise_pct:.1f} % (at most "
        f"{MOST_NOISE_PCT[clock]:g} % by the {clock} clock), so no latency table was made; stop other work "
        f"on the device, fix its frequency, or {advice}"
    )


def split(wholes: Sequence[Whole]) -> tuple[list[Whole], list[Whole]]:
    """(calibration, check): every second one in the order of MACs, so that both span the space."""
    ordered = sorted({w.key: w for w in wholes}.values(), key=lambda w: (w.macs, w.key))
    n_check = max(MIN_CHECK, len(ordered) // 2)
    check = set(np.linspace(1, len(ordered) - 2, n_check).round().astype(int).tolist())
    return (
        [w for i, w in enumerate(ordered) if i not in check],
        [w for i, w in enumerate(ordered) if i in check],
    )


def _assemble(
    request: Request,
    found: Found,
    context: Context,
    folder: Path,
) -> SpaceTable:
    """Predict what was not measured, calibrate, check on other networks, write."""
    parts, rows = request.parts, found.rows
    empty_ms = rows[EMPTY_KEY].p20_ms
    measured = [p for p in parts if p.key in rows]
    alone_ms, held_out, files = _fill(request, measured, rows, empty_ms)
    blocks = Blocks(alone_ms, _weight_bytes(parts, found.file_bytes, request.seed))
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
        "noise_floor_pct": found.noise_pct,
        "n_calibration": len(calibration),
        "n_check": len(check),
        "n_rows_measured": len(measured),
        "n_rows_predicted": len(parts) - len(measured),
        "empty_run_ms": empty_ms,
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
        measured_rows={p.key: rows[p.key] for p in measured},
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        seed=request.seed,
    )
    write_json(folder / "context.json", {"hash": context.hash, "facts": dict(context.facts)})
    blocks_csv.write_rows(folder / ROWS_FILE, {**blocks_csv.read_rows(folder / ROWS_FILE), **rows})
    table.save(folder, files)
    return table


def _weight_bytes(parts: Sequence[Part], file_bytes: Mapping[str, int], seed: int) -> dict[str, float]:
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
    request: Request, measured: Sequence[Part], rows: Mapping[str, Measurement], empty_ms: float
) -> tuple[dict[str, float], dict[str, float], dict[str, bytes]]:
    """Each block alone without the empty run, in ms; errors of the predictor; its file."""
    times = np.array([rows[p.key].p20_ms - empty_ms for p in measured])
    times = np.maximum(times, 0.05 * empty_ms)  # a block cannot be cheaper than nothing
    alone = {p.key: float(t) for p, t in zip(measured, times, strict=True)}
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
