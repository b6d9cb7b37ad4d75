"""Characterise a device: generated networks, measured whole and kernel by kernel, made into a predictor."""

from __future__ import annotations

import datetime
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lut.devices.callbacks import LogCallback, ProgressCallback
from lut.devices.device import device_context, run_rows, tables_folder
from lut.predictor.footprint.memory import MIN_ROWS, fit_memory
from lut.predictor.kernels.fit import MIN_NETWORKS, Fitted, fit_networks, is_usual
from lut.predictor.kernels.labels import Labelled, labelled
from lut.predictor.kernels.network import fit_overhead, without_profiler
from lut.predictor.models.quantise import as_run
from profilers import Timing
from targets import Target
from targets.errors import DamagedFileError, TargetError, UsageError

from .generate import Generated, generate
from .latency_predictor import FILE, LatencyPredictor, load
from .layout import extended_kernels, learn_rule
from .transfer import learning_curve, nearest, transferred

NETWORKS_PER_MINUTE = 66
"""On one core of a server CPU, loading included; a third of them are large and take nearly all of the time. A
slower device measures as many as it has time for."""

PASSES, TOGETHER, ROUNDS = 3, 10, 4
"""Each network is met in three stretches of the profile, beside nine others, so that a disturbed minute costs
each of them a few samples; a device that is cut off loses one group of ten."""

MEMORY_NETWORKS = 10
RULE_NETWORKS = 24

UNSTABLE_SHARE: Mapping[str, float] = {"cpu": 0.05, "wall": 0.03}
"""Median difference of the two halves of a network's samples above which no predictor is made, by clock."""

TRANSFER_NETWORKS = 48
"""Measured where another device's predictor is corrected: half would do, the others show the error."""


def timing(minutes: float, seed: int) -> Timing:
    """How a profile of `minutes` is measured."""
    return Timing(
        60 * minutes, seed=seed, min_rounds=ROUNDS, max_rounds=ROUNDS, passes=PASSES, together=TOGETHER
    )


def profile_device(
    target: Target,
    *,
    minutes: float,
    home: Path,
    seed: int,
    log: LogCallback,
    progress: ProgressCallback | None = None,
    start_from: Sequence[LatencyPredictor] = (),
) -> LatencyPredictor:
    """Measure the device for at most `minutes`, and write its predictor beside its tables.

    target: the device, and how it runs networks.
    home: the folder of tables and predictors.
    seed: of the generated networks and of the fit.
    log, progress: are told how far it is.
    start_from: predictors of other devices or contexts. If given, only a few networks are measured, and they
        correct the nearest of these; `errors["after_networks_pct"]` says how the error falls with their
        number.

    A profile that was cut off goes on with what it lacks. TargetError where the device is too disturbed to
    measure; nothing is written then.
    """
    if not (np.isfinite(minutes) and minutes > 0):
        raise UsageError(f"minutes of profiling must be above 0, got {minutes}")
    context = device_context(target, "")
    folder = predictor_folder(home, target, context.hash)
    n = TRANSFER_NETWORKS if start_from else max(MIN_NETWORKS, round(NETWORKS_PER_MINUTE * minutes))
    log(f"making {n} networks to measure")
    models = _as_run(generate(n, seed), target, log)
    kinds = wanted_kinds(models)
    began = time.monotonic()
    job = folder / f"job-{n}-{seed}"
    rows = run_rows(target, models, timing(minutes, seed), log, kinds=kinds, folder=job, progress=progress)
    device_s = time.monotonic() - began
    networks = labelled(rows)
    try:
        measured = steady(networks, log, _clock(rows))
    except TargetError:
        if networks:  # else the next profile would go on with these very rows
            shutil.rmtree(job, ignore_errors=True)
        raise
    log(f"fitting on {sum(len(m.kernels) for m in measured)} kernels of {len(measured)} networks")
    fitted = _moved(start_from, measured, seed, log) if start_from else fit_networks(measured, seed)
    predictor = LatencyPredictor(
        context=context,
        target=target.name,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        model=fitted.model,
        overhead=fitted.overhead,
        quantiles=fitted.quantiles,
        errors=fitted.errors,
        device_s=device_s,
        rule=_rule(target, models, measured),
        memory=_memory(rows, measured),
    )
    predictor.save(folder)
    shutil.rmtree(job, ignore_errors=True)
    return predictor


def _as_run(networks: Sequence[Generated], target: Target, log: LogCallback) -> dict[str, bytes]:
    """The files in the precision of the target, by key, without those that have no such form."""
    models = {}
    for network in networks:
        try:
            models[network.key] = as_run(network.onnx(), target)
        except DamagedFileError:
            if target.precision != "int8":
                raise
    if len(models) < len(networks):
        log(f"{len(networks) - len(models)} of them have no {target.precision} form and are left out")
    return models


def _moved(
    known: Sequence[LatencyPredictor], networks: Sequence[Labelled], seed: int, log: LogCallback
) -> Fitted:
    networks = without_profiler(networks, fit_overhead(networks))
    base = nearest(known, networks)
    log(f"starting from {base.target} ({base.date}), the nearest of {len(known)}")
    fitted = transferred(base.model, base.overhead, networks, seed)
    curve = learning_curve(base, networks, seed)
    return replace(fitted, errors={**fitted.errors, "from": base.target, "after_networks_pct": curve})


def predictor_folder(home: Path, target: Target, context_hash: str) -> Path:
    """Where the predictor of a target in a context lies."""
    return tables_folder(home, target) / context_hash / "predictor"


def stored_predictor(home: Path, target: Target) -> LatencyPredictor:
    """The predictor of the target in its present context; UsageError when there is none.

    If the target does not answer, the predictor is taken that is the only one stored for it.
    """
    paths = sorted(tables_folder(home, target).glob(f"*/predictor/{FILE}"))
    try:
        context = device_context(target, "")
    except TargetError:
        if len(paths) != 1:
            raise
        return load(paths[0].parent)
    folder = predictor_folder(home, target, context.hash)
    if (folder / FILE).exists():
        return load(folder)
    others = [load(path.parent) for path in paths]
    differs = f"; one of another context is not used: {context.explain(others[0].context)}" if others else ""
    raise UsageError(
        f"there is no latency predictor of {target.name} under {home}{differs}; make one with "
        f"`hwnas profile --target {target.name}`"
    )


def wanted_kinds(models: Mapping[str, bytes]) -> dict[str, tuple[str, ...]]:
    """What is measured: times of all networks, memory of a few, from the smallest to the largest file."""
    by_size = sorted(models, key=lambda key: len(models[key]))
    places = np.linspace(0, len(by_size) - 1, min(MEMORY_NETWORKS, len(by_size))).round().astype(int)
    memory = {by_size[i] for i in places}
    return {key: ("time", "kernels", *(("memory",) if key in memory else ())) for key in models}


def steady(networks: Mapping[str, Labelled], log: LogCallback, clock: str) -> list[Labelled]:
    """The networks that were measured well; TargetError where most were not."""
    if not networks:
        raise TargetError("no network was measured in time; give more minutes")
    halves = np.array([network.half_split for network in networks.values()])
    if float(np.median(halves)) > UNSTABLE_SHARE[clock]:
        raise TargetError(
            f"unstable: two halves of the samples differ by {100 * np.median(halves):.0f} % (median; at "
            f"most {100 * UNSTABLE_SHARE[clock]:g} % by the {clock} clock), so no predictor was made; "
            "stop other work on the device, fix its frequency, and profile again"
        )
    kept = [network for network in networks.values() if network.half_split <= 4 * UNSTABLE_SHARE[clock]]
    if len(kept) < len(networks):
        log(f"{len(networks) - len(kept)} of {len(networks)} networks are unstable and left out")
    return kept


def _clock(rows: Sequence[Mapping[str, Any]]) -> str:
    return "wall" if any(row.get("clock") == "wall" for row in rows) else "cpu"


def _rule(target: Target, models: Mapping[str, bytes], networks: Sequence[Labelled]) -> dict[str, Any] | None:
    """The layout of the target, from networks that it ran; None where it does not run level `all`."""
    if target.provider != "cpu" or target.graph_level not in ("all", "layout"):
        return None
    chosen = [n for n in networks if n.kernels and is_usual(n)][:RULE_NETWORKS]
    pairs = [(extended_kernels(models[n.key], n.key), n.kernels) for n in chosen]
    return learn_rule(pairs).to_json()


def _memory(rows: Sequence[Mapping[str, Any]], networks: Sequence[Labelled]) -> dict[str, Any] | None:
    """The memory model; None where too few networks have a row."""
    memory_rows = [row for row in rows if row["kind"] == "memory"]
    kernels = {n.key: n.kernels for n in networks}
    if sum(row["key"] in kernels for row in memory_rows) < MIN_ROWS:
        return None
    return fit_memory(memory_rows, kernels).to_json()
