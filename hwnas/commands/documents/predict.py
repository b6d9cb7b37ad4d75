"""`hwnas predict`: what networks cost on a device, layer by layer, beside what was measured there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lut
from hwnas.core.words import percent
from hwnas.runs.log import Log
from lut.caveats import caveats, state
from lut.predictor.asked_kernels import KernelProcess
from lut.predictor.kernels.labels import Labelled
from targets import Target
from targets.errors import HwnasError

from .model_files import FailedFiles, failures_json, without_failures
from .model_table import NETWORK, Document, PrintedTable, Row, without_empty_columns

LATENCY, FLAG = "latency_ms", "flag"
"""Headings."""

NAMED = 5
"""Number of kinds of kernels that a warning names, the costliest first."""


def predict_models(
    targets: Sequence[Target],
    files: Iterable[tuple[str, bytes | HwnasError]],
    *,
    home: Path,
    kernels_from: str,
    measure: bool,
    log: Log,
    advance: Callable[[int], None] = lambda n: None,
) -> list[dict[str, Any]]:
    """The predictions of the models on each target, with the context of its profile.

    targets: the devices.
    files: ONNX bytes by name, or why a file cannot be read.
    home: the data home, with the predictors.
    kernels_from: who says which kernels a network becomes, see `lut.DevicePredictor.predict`.
    measure: run the models on the targets too, whole and kernel by kernel.
    log: told what is measured.
    advance: told of every prediction.
    """
    jobs = [_OnTarget(lut.load_predictor(target, home), kernels_from, log) for target in targets]
    with KernelProcess() as process:
        for name, data in files:
            for job in jobs:
                job.add(name, data, process, keep=measure)
                advance(1)
    return [job.document() for job in jobs]


class _OnTarget:
    """The predictions for one target as they come."""

    def __init__(self, predictor: lut.DevicePredictor, kernels_from: str, log: Log) -> None:
        self._predictor, self._kernels_from, self._log = predictor, kernels_from, log
        self._predictions: dict[str, lut.Prediction] = {}
        self._deployed: dict[str, bytes] = {}
        self._failed: FailedFiles = {}
        self._unanswered = 0

    def add(self, name: str, data: bytes | HwnasError, process: KernelProcess, *, keep: bool) -> None:
        """keep: the file for a measurement."""
        if isinstance(data, HwnasError):
            self._failed[name] = data
            return
        try:
            deployed = self._predictor.as_deployed(name, data)
            prediction = self._predictor.predict(
                deployed, name=name, kernels_from=self._kernels_from, log=self._log, process=process
            )
        except HwnasError as error:
            self._failed[name] = error
            return
        self._predictions[name] = prediction
        if keep:
            self._deployed[name] = deployed
        asked_in_vain = self._kernels_from == "auto" and prediction.kernels_from != "target"
        self._unanswered = self._unanswered + 1 if asked_in_vain else 0
        if self._unanswered == _TRIES:
            self._kernels_from = "layout rule"

    def document(self) -> dict[str, Any]:
        """All of it; the files that were kept are measured too."""
        target, log = self._predictor.target, self._log
        measured = without_failures(
            self._deployed, lambda models: lut.measure_kernels(target, models, log=log), self._failed
        )
        stored = self._predictor.stored
        return {
            "target": target.described,
            "context": stored.context.to_json(),
            "profile": {
                "date": stored.date,
                "device_s": stored.device_s,
                "errors": dict(stored.errors),
                "state": state(stored.errors),
                "notes": caveats(stored.errors),
            },
            "models": {
                name: _model(prediction, measured.get(name))
                for name, prediction in self._predictions.items()
                if name not in self._failed
            },
            "failed": failures_json(self._failed),
        }


_TRIES = 2
"""Networks in a row for which a device may not answer before it is no longer asked."""


def _model(prediction: lut.Prediction, measured: Labelled | None) -> dict[str, Any]:
    times = _kernel_times(prediction, measured)
    # Kernels of a small network may add up to more than it takes: each then is a share of their sum.
    total = max(prediction.latency_ms, prediction.latency_ms - prediction.overhead_ms)
    return {
        "latency_ms": prediction.latency_ms,
        "low_ms": prediction.low_ms,
        "high_ms": prediction.high_ms,
        "overhead_ms": prediction.overhead_ms,
        "macs": prediction.macs,
        "not_counted": list(prediction.not_counted),
        "notes": list(prediction.notes),
        "file_bytes": prediction.file_bytes,
        "peak_memory_bytes": prediction.peak_memory_bytes,
        "kernels_from": prediction.kernels_from,
        "unknown": dict(prediction.unknown),
        "few": dict(prediction.few),
        "layers": [
            {**asdict(layer), "share": layer.latency_ms / total, "measured_ms": time}
            for layer, time in zip(prediction.layers, times, strict=True)
        ],
        "measured": None
        if measured is None
        else {
            "latency_ms": measured.latency_ms,
            "half_split": measured.half_split,
            "n": measured.n_samples,
            "kernels": len(measured.kernels),
        },
    }


def _kernel_times(prediction: lut.Prediction, measured: Labelled | None) -> list[float | None]:
    """The measured time of each predicted layer, by place where the lists agree, else by name."""
    if measured is None:
        return [None] * len(prediction.layers)
    names = [kernel.name for kernel in measured.kernels]
    times = [float(ms) for ms in measured.kernel_ms]
    if [layer.name for layer in prediction.layers] == names:
        return list(times)
    by_name = dict(zip(names, times, strict=True)) if len(set(names)) == len(names) else {}
    return [by_name.get(layer.name) for layer in prediction.layers]


def prediction_rows(document: Document) -> list[Row]:
    """A row per network, in the order of the files."""
    rows = []
    for name, model in document["models"].items():
        memory_bytes, measured = model["peak_memory_bytes"], model["measured"]
        by_rule = any(other["kernels_from"] != "target" for other in document["models"].values())
        rows.append(
            {
                NETWORK: name,
                LATENCY: model["latency_ms"],
                "low_ms": model["low_ms"],
                "high_ms": model["high_ms"],
                "measured_ms": measured["latency_ms"] if measured else None,
                "mmacs": _mmacs(model),
                "file_mb": model["file_bytes"] / 1e6,
                "peak_mb": memory_bytes / 1e6 if memory_bytes else None,
                "kernels_from": model["kernels_from"] if by_rule else None,
                FLAG: _flag(model),
            }
        )
    return rows


def layer_table(model: Document) -> PrintedTable:
    """A row per layer, the costliest first, and one for the time outside of all layers."""
    rows: list[Row] = [
        {
            "layer": layer["name"],
            "op": layer["op"],
            "kind": layer["kind"],
            "macs": layer["macs"],
            LATENCY: layer["latency_ms"],
            "measured_ms": layer["measured_ms"],
            "share": percent(layer["share"]),
            "profile": layer["source"],
        }
        for layer in sorted(model["layers"], key=lambda layer: -float(layer["latency_ms"]))
    ]
    outside = max(1 - sum(layer["share"] for layer in model["layers"]), 0)
    rest = {"layer": "outside of all layers", LATENCY: model["overhead_ms"], "share": percent(outside)}
    rows.append({heading: rest.get(heading) for heading in _LAYER_HEADINGS})
    return without_empty_columns(rows)


_LAYER_HEADINGS = ("layer", "op", "kind", "macs", LATENCY, "measured_ms", "share", "profile")


def prediction_warnings(document: Document) -> list[str]:
    """A line per network on kinds of kernels that the profile lacks, and one on those with few samples."""
    return [
        f"{name}: {said} {_costliest(model, model[which])}"
        for name, model in document["models"].items()
        for which, said in (("unknown", "never profiled:"), ("few", "few samples in the profile:"))
        if model[which]
    ]


def prediction_notes(document: Document) -> list[str]:
    """What is to be known of the profile; what each network was fed and which parts of it ran."""
    profile = [f"{document['target']['name']}: {note}" for note in document["profile"]["notes"]]
    return profile + [
        f"{name}: {note}" for name, model in document["models"].items() for note in model["notes"]
    ]


def _mmacs(model: Document) -> float | str:
    """Millions of multiply-accumulates, with the operators whose work is not in the number."""
    mmacs = float(model["macs"] / 1e6)
    return f"{mmacs:.4g} (not counted: {', '.join(model['not_counted'])})" if model["not_counted"] else mmacs


def _costliest(model: Document, samples: Mapping[str, int]) -> str:
    """`Gelu (12), Pad (3) and 4 more; 7 % of its time`, with numbers of samples in brackets."""
    share = dict.fromkeys(samples, 0.0)
    for layer in model["layers"]:
        if layer["kind"] in share:
            share[layer["kind"]] += layer["share"]
    ordered = sorted(samples, key=lambda kind: -share[kind])
    named = ", ".join(f"{kind} ({samples[kind]})" for kind in ordered[:NAMED])
    more = f" and {len(ordered) - NAMED} more" if len(ordered) > NAMED else ""
    return f"{named}{more}; {100 * sum(share.values()):.0f} % of its time"


def profiled_line(document: Document) -> str:
    """When the device was profiled, and the mean error of predictions there."""
    profile = document["profile"]
    mape_pct = profile["errors"].get("mape_pct")
    error = "" if mape_pct is None else f", mean error {mape_pct:.1f} % on networks not seen"
    return f"profiled {str(profile['date'])[:10]}{error}"


def _flag(model: Document) -> str:
    """`ok`, or how many kinds of kernels the profile has never or rarely seen."""
    words = (("unknown", "never profiled"), ("few", "with few samples"))
    counts = [(len(model[key]), said) for key, said in words if model[key]]
    return ", ".join(f"{n} kind{'s' * (n > 1)} {said}" for n, said in counts) or "ok"
