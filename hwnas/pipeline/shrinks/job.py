"""The stages of a shrinking, and the front that they end with."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import lut
from hwnas.pipeline.main_job.publish import front_csv
from hwnas.pipeline.stages import Outcome, RunStage, run_stages
from hwnas.runs.front_file import FRONT_CSV, FRONT_JSON, FrontPoint, latency_columns
from hwnas.runs.log import Log
from hwnas.runs.run_dir import RunDir
from lut.devices.device import device_context
from targets.errors import InfeasibleError
from targets.files import read_json, write_atomic, write_json

from .options import ShrinkOptions
from .prepared import PreparedShrinking, prepare_shrinking
from .stages import MODELS, ORIGINAL, ShrinkContext, decide, learn, look, scan, ship, whole_ms

SCHEMA = 1


def shrink_network(options: ShrinkOptions) -> tuple[Path, dict[str, Any]]:
    """(folder, front). What an earlier call of the same shrinking did is not done again.

    InfeasibleError where no network is within its budget.
    """
    log = Log(quiet=options.quiet)
    prepared = prepare_shrinking(options)
    identity = prepared.identity()
    name = f"shrink-{prepared.source.name}"
    path = identity.default_folder(name) if options.out is None else Path(options.out)
    measured_ms = None if path.exists() else whole_ms(prepared, log)  # a refusal leaves no folder
    with RunDir.enter(path, identity, log=log) as run:
        log(f"shrinking in {path}; the same command goes on there after a stop")
        for kept in prepared.kept:
            log(f"stays whole: {kept}")
        context = ShrinkContext(run, prepared, measured_ms)
        run_stages(_stages(prepared), context)
        front: dict[str, Any] = read_json(path / FRONT_JSON, "the front")
    if front["chosen"] is None:
        raise InfeasibleError(
            f"no network of {path} is within its budget now that all are measured side by side; front.csv "
            "has their latencies. Was the machine busy? Ask for a little more, or give another --out"
        )
    return path, front


def _stages(prepared: PreparedShrinking) -> list[RunStage[ShrinkContext]]:
    """In order."""
    return [
        RunStage(name="look", does="measure the network as it is and rank its channels", work=look),
        RunStage(
            name="scan",
            does=f"find what {prepared.n_widths} widths of {len(prepared.groups)} groups cost",
            work=scan,
        ),
        RunStage(name="widths", does="choose the widths", work=decide),
        RunStage(name="training", does="train the narrower networks by the answers of the whole", work=learn),
        RunStage(name="export", does="export, check and test them", work=ship),
        RunStage(name="front", does=f"measure all on {prepared.target.name}", work=_publish),
    ]


def _publish(context: ShrinkContext) -> Outcome:
    """Measure all networks side by side; front.csv and front.json."""
    run, known = context.run, context.prepared
    networks = {entry["name"]: entry for entry in run.result("widths")["networks"]}
    files = {name: run.path / MODELS / name / "model.onnx" for name in (ORIGINAL, *networks)}
    measured = lut.measure(known.target, dict(files), home=known.home, log=run.log)
    scores, looked = run.result("export")["scores"], run.result("look")
    points = []
    for name, file in files.items():
        entry = networks.get(name)
        row = latency_columns(asdict(measured[name])) | scores[name] | {"size_mb": file.stat().st_size / 1e6}
        points.append(
            FrontPoint(
                arch_id=name,
                arch=_widths_text(entry),
                origin="original" if entry is None else "shrunk",
                pick=None,
                predicted={
                    "latency_ms": looked["measured_ms"] if entry is None else entry["predicted_ms"],
                    "budget_ms": None if entry is None else entry["budget_ms"],
                },
                measured=row,
                feasible=entry is None or measured[name].p50_ms <= entry["budget_ms"],
            )
        )
    inside = [p for p in points if p.origin == "shrunk" and p.feasible and p.measured]
    best = max(inside, key=lambda p: (p.measured or {})["val_accuracy"], default=None)
    document = {
        "schema": SCHEMA,
        "task": known.source.data.task.name,
        "chosen": None if best is None else best.arch_id,
        "target": {"name": known.target.name, **device_context(known.target, "").facts},
        "points": [point.to_json() for point in points],
    }
    write_json(run.path / FRONT_JSON, document)
    write_atomic(run.path / FRONT_CSV, front_csv(points))
    return Outcome({}, (FRONT_JSON, FRONT_CSV))


def _widths_text(entry: dict[str, Any] | None) -> str:
    """`features.0.0=24/features.1.conv.1=16`, the narrower groups; empty for the whole network."""
    return "" if entry is None else "/".join(f"{name}={width}" for name, width in entry["widths"].items())
