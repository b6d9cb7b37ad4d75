"""Characterise a device: generated networks, measured whole and kernel by kernel, made into a predictor."""

from __future__ import annotations

import datetime
import math
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lut.caveats import ASKED, MEASURED, NOISE, state
from lut.devices.callbacks import LogCallback, ProgressCallback, opened
from lut.devices.device import device_context, run_rows, tables_folder
from lut.devices.turns import own_time_s
from lut.predictor.footprint.memory import MIN_ROWS, fit_memory
from lut.predictor.kernels.fit import MIN_NETWORKS, Fitted, fit_networks, is_usual
from lut.predictor.kernels.labels import Labelled, labelled
from lut.predictor.kernels.network import fit_profiler_cost, without_profiler
from lut.predictor.models.quantise import as_run
from profilers import Timing
from targets import Target
from targets.errors import DamagedFileError, HwnasError, TargetError, UsageError

from .generate import Generated, sequence
from .latency_predictor import FILE, LatencyPredictor, load
from .layout import extended_kernels, learn_rule
from .profile_rows import MeasuredRows, measured_keys, measuring_s, rows_in_time
from .transfer import learning_curve, nearest, transferred

NETWORKS_PER_MINUTE = 66
"""On one core of a server CPU, loading included; a third of them are large and take nearly all of the time. A
slower device measures as many as it has time for."""

PASSES, TOGETHER, ROUNDS = 3, 10, 4
"""Each network is met in three stretches of the profile, beside nine others, so that a disturbed minute costs
each of them a few samples; a device that is cut off loses one group of ten."""

MEMORY_NETWORKS = 10
RULE_NETWORKS = 24

NOISY_SHARE: Mapping[str, float] = {"cpu": 0.05, "wall": 0.03}
"""Median difference of the two halves of a network's samples above which the predictor says that it is noisy,
by clock. Its intervals are as wide: they come from networks that were measured in the same minutes."""

MOST_SHARE: Mapping[str, float] = {"cpu": 0.15, "wall": 0.1}
"""The same above which none is made: no interval that such samples give would say anything."""

_OUTLIER = 4
"""Times the usual difference of halves, at least that of NOISY_SHARE, above which a network is left out."""

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
    accept_noise: bool = False,
    now: Callable[[], float] = own_time_s,
) -> LatencyPredictor:
    """Measure the device and fit within `minutes`, and write its predictor beside its tables.

    target: the device, and how it runs networks.
    home: the folder of tables and predictors.
    seed: of the generated networks and of the fit.
    log, progress: are told how far it is.
    start_from: predictors of other devices or contexts. If given, only a few networks are measured, and they
        correct the nearest of these; `errors["after_networks_pct"]` says how the error falls with their
        number.

    accept_noise: make it on a disturbed device too; `errors["noise"]` says how disturbed. Intervals are as
        wide, for they come from networks that were measured there.
    now: seconds that count; waiting for a device that is in use does not.

    A profile that was cut off, or had too little time for its networks, goes on with what it lacks; until
    then `errors` says how many it has of how many. TargetError where the device is too disturbed to measure;
    nothing is written then, and what was measured counts only if noise is accepted next.
    """
    if not (np.isfinite(minutes) and minutes > 0):
        raise UsageError(f"minutes of profiling must be above 0, got {minutes}")
    began = now()
    context = device_context(target, "")
    folder = predictor_folder(home, target, context.hash)
    n = TRANSFER_NETWORKS if start_from else max(MIN_NETWORKS, round(NETWORKS_PER_MINUTE * minutes))
    _require_no_fuller(folder, n)
    log(f"making {n} networks to measure")
    with opened(progress, "make networks", n) as bar:
        models = _as_run(islice(sequence(seed), n), target, bar.advance)
    if len(models) < n:
        log(f"{n - len(models)} of them have no {target.precision} form and are left out")
    kinds = wanted_kinds(models)
    job = _job(folder, n, seed, accept_noise)

    def measure(keys: Sequence[str], seconds: float) -> MeasuredRows:
        some = {key: models[key] for key in keys}
        limit = timing(seconds / 60, seed)
        wanted = {key: kinds[key] for key in keys}
        return run_rows(target, some, limit, log, kinds=wanted, folder=job, progress=progress)

    began_device = now()
    until_s = began + measuring_s(minutes)
    rows = rows_in_time(measure, list(models), measured_keys(job), until_s, now, log)
    device_s = now() - began_device
    networks = labelled(rows)
    try:
        measured, noise = steady(networks, log, _clock(rows), accept_noise)
    except TargetError:
        if networks:  # else the next profile would go on with these very rows
            shutil.rmtree(_disturbed(job), ignore_errors=True)
            job.rename(_disturbed(job))
        raise
    log(f"fitting on {sum(len(m.kernels) for m in measured)} kernels of {len(measured)} networks")
    fitted = _moved(start_from, measured, seed, log) if start_from else fit_networks(measured, seed)
    predictor = LatencyPredictor(
        context=context,
        target=target.name,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        model=fitted.model,
        overhead=fitted.overhead,
        whole=fitted.whole,
        quantiles=fitted.quantiles,
        errors={**fitted.errors, ASKED: len(models), MEASURED: len(networks), **noise},
        device_s=device_s,
        rule=_rule(target, models, measured),
        memory=_memory(rows, measured),
    )
    if _measured(folder) > len(networks):
        log(
            f"the stored predictor knows {_measured(folder)} networks and stays, this profile only "
            f"{len(networks)} so far; the same command measures the others"
        )
        return load(folder)
    predictor.save(folder)
    if len(networks) < len(models):
        log(f"{state(predictor.errors)} were measured in the time; the same command measures the others")
    else:
        for done in folder.glob("job-*"):
            shutil.rmtree(done, ignore_errors=True)
    return predictor


def _measured(folder: Path) -> int:
    """Networks of the predictor that is stored there; 0 where there is none that can be read."""
    try:
        return int(load(folder).errors.get(MEASURED, 0)) if (folder / FILE).exists() else 0
    except HwnasError:
        return 0


def _require_no_fuller(folder: Path, n: int) -> None:
    """UsageError where a profile of `n` networks would replace one of more."""
    known = _measured(folder)
    if known > n:
        raise UsageError(
            f"a predictor from {known} networks is stored in {folder}, and this profile would make one from "
            f"{n}; give --minutes {math.ceil(known / NETWORKS_PER_MINUTE)} to measure as many again, or "
            "delete that folder first"
        )


def _job(folder: Path, n: int, seed: int, accept_noise: bool) -> Path:
    """The folder of the job; one that was too disturbed goes on where noise is accepted."""
    job = folder / f"job-{n}-{seed}"
    if accept_noise and _disturbed(job).exists() and not job.exists():
        _disturbed(job).rename(job)
    return job


def _disturbed(job: Path) -> Path:
    return job.with_name(f"{job.name}-disturbed")


def _as_run(networks: Iterable[Generated], target: Target, each_done: Callable[[], None]) -> dict[str, bytes]:
    """The files in the precision of the target, by key, without those that have no such form."""
    models = {}
    for network in networks:
        try:
            models[network.key] = as_run(network.onnx(), target)
        except DamagedFileError:
            if target.precision != "int8":
                raise
        each_done()
    return models


def _moved(
    known: Sequence[LatencyPredictor], networks: Sequence[Labelled], seed: int, log: LogCallback
) -> Fitted:
    networks = without_profiler(networks, fit_profiler_cost(networks))
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


def steady(
    networks: Mapping[str, Labelled], log: LogCallback, clock: str, accept_noise: bool = False
) -> tuple[list[Labelled], dict[str, str]]:
    """The networks that were measured as well as most, and among errors how disturbed they are.

    TargetError where most were measured too badly, unless noise is accepted.
    """
    if not networks:
        raise TargetError(
            "no network was measured in time; give more minutes (--minutes), or stop other work there"
        )
    usual = float(np.median([network.half_split for network in networks.values()]))
    if usual > MOST_SHARE[clock] and not accept_noise:
        raise TargetError(
            f"unstable: two halves of the samples differ by {100 * usual:.0f} % (median; at most "
            f"{100 * MOST_SHARE[clock]:g} % by the {clock} clock), so no predictor was made; stop other work "
            "on the device, fix its frequency, and profile again; to have it all the same from what was "
            "measured, with the noise stated and intervals as wide, give the same command with --accept-noise"
        )
    noise = {}
    if usual > NOISY_SHARE[clock]:
        noise = {NOISE: f"two halves of the samples of a network differ by {100 * usual:.0f} %"}
        log(f"the profile is noisy: {noise[NOISE]} (median)")
    most = _OUTLIER * max(usual, NOISY_SHARE[clock])
    kept = [network for network in networks.values() if network.half_split <= most]
    if len(kept) < len(networks):
        log(f"{len(networks) - len(kept)} of {len(networks)} networks are unstable and left out")
    return kept, noise


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
