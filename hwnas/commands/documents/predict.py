"""`hwnas predict`: what networks cost on a device, layer by layer, beside what was measured there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lut
from hwnas.runs.log import Log
from lut.predictor.kernels.labels import Labelled
from targets import Target

from .bench import Document, PrintedTable

NAMED = 5
"""Number of kinds of kernels that a warning names, the costliest first."""


def predict_models(
    target: Target, models: Mapping[str, bytes], *, home: Path, kernels_from: str, measure: bool, log: Log
) -> dict[str, Any]:
    """The predictions of the models, with the context of the profile.

    target: the device.
    models: ONNX bytes by name.
    home: the data home, with the predictor.
    kernels_from: who says which kernels a network becomes, see `lut.DevicePredictor.predict`.
    measure: run the models on the target too, whole and kernel by kernel.
    log: told what is measured.
    """
    predictor = lut.load_predictor(target, home)
    deployed = {name: predictor.as_deployed(name, data) for name, data in models.items()}
    predictions = {
        name: predictor.predict(data, name=name, kernels_from=kernels_from, log=log)
        for name, data in deployed.items()
    }
    measured = lut.measure_kernels(target, deployed, log=log) if measure else {}
    stored = predictor.stored
    return {
        "target": target.described,
        "context": stored.context.to_json(),
        "profile": {"date": stored.date, "device_s": stored.device_s, "errors": dict(stored.errors)},
        "models": {name: _model(prediction, measured.get(name)) for name, prediction in predictions.items()},
    }


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


def prediction_table(document: Document) -> PrintedTable:
    """A row per network."""
    rows = []
    for name, model in document["models"].items():
        memory_bytes, measured = model["peak_memory_bytes"], model["measured"]
        row = [name, model["latency_ms"], model["low_ms"], model["high_ms"]]
        row += [measured["latency_ms"] if measured else None, _mmacs(model)]
        row += [model["file_bytes"] / 1e6, memory_bytes / 1e6 if memory_bytes else None]
        rows.append([*row, model["kernels_from"], _flag(model)])
    columns = ("latency_ms", "low_ms", "high_ms", "measured_ms", "mmacs", "file_mb", "peak_mb")
    return ("network", *columns, "kernels_from", "flag"), rows


def layer_table(model: Document) -> PrintedTable:
    """A row per layer, the costliest first, and one for the time outside of all layers."""
    rows = []
    for layer in sorted(model["layers"], key=lambda layer: -float(layer["latency_ms"])):
        row = [layer["name"], layer["op"], layer["kind"], layer["macs"], layer["latency_ms"]]
        rows.append([*row, layer["measured_ms"], f"{100 * layer['share']:.1f} %", layer["source"]])
    share = f"{100 * max(1 - sum(layer['share'] for layer in model['layers']), 0):.1f} %"
    rows.append(["outside of all layers", None, None, None, model["overhead_ms"], None, share, None])
    return ("layer", "op", "kind", "macs", "latency_ms", "measured_ms", "share", "profile"), rows


def prediction_warnings(document: Document) -> list[str]:
    """A line per network on kinds of kernels that the profile lacks, and one on those with few samples."""
    return [
        f"{name}: {said} {_costliest(model, model[which])}"
        for name, model in document["models"].items()
        for which, said in (("unknown", "never profiled:"), ("few", "few samples in the profile:"))
        if model[which]
    ]


def prediction_notes(document: Document) -> list[str]:
    """What each network was fed and which parts of it ran, where that is not the same for all inputs."""
    return [f"{name}: {note}" for name, model in document["models"].items() for note in model["notes"]]


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
    return f"profiled {profile['date']}{error}"


def _flag(model: Document) -> str:
    """`ok`, or how many kinds of kernels the profile has never or rarely seen."""
    words = (("unknown", "never profiled"), ("few", "with few samples"))
    counts = [(len(model[key]), said) for key, said in words if model[key]]
    return ", ".join(f"{n} kind{'s' * (n > 1)} {said}" for n, said in counts) or "ok"
