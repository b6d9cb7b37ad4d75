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


def predict(
    target: Target, models: Mapping[str, bytes], *, home: Path, kernels_from: str, measure: bool, log: Log
) -> dict[str, Any]:
    """The predictions by name, with the context that a latency means nothing without.

    measure: run them on the target too, whole and kernel by kernel.
    """
    predictor = lut.load_predictor(target, home)
    deployed = {name: predictor.as_deployed(name, data) for name, data in models.items()}
    found = {
        name: predictor.predict(data, name=name, kernels_from=kernels_from, log=log)
        for name, data in deployed.items()
    }
    measured = lut.measure_kernels(target, deployed, log=log) if measure else {}
    stored = predictor.stored
    return {
        "target": target.described,
        "context": stored.context.to_json(),
        "profile": {"date": stored.date, "device_s": stored.device_s, "errors": dict(stored.errors)},
        "models": {name: _described(one, measured.get(name)) for name, one in found.items()},
    }


def _described(found: lut.Prediction, measured: Labelled | None) -> dict[str, Any]:
    times = _kernel_times(found, measured)
    total = found.latency_ms
    return {
        **{name: getattr(found, name) for name in ("latency_ms", "low_ms", "high_ms", "overhead_ms", "macs")},
        "file_bytes": found.file_bytes,
        "peak_memory_bytes": found.peak_memory_bytes,
        "kernels_from": found.kernels_from,
        "unknown": dict(found.unknown),
        "few": dict(found.few),
        "layers": [
            {**asdict(layer), "share": layer.latency_ms / total, "measured_ms": time}
            for layer, time in zip(found.layers, times, strict=True)
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


def _kernel_times(found: lut.Prediction, measured: Labelled | None) -> list[float | None]:
    """The measured time of each predicted layer, by place where the lists agree, else by name."""
    if measured is None:
        return [None] * len(found.layers)
    names = [str(one["name"]) for one in measured.described]
    times = [float(ms) for ms in measured.kernel_ms]
    if [layer.name for layer in found.layers] == names:
        return list(times)
    by_name = dict(zip(names, times, strict=True)) if len(set(names)) == len(names) else {}
    return [by_name.get(layer.name) for layer in found.layers]
