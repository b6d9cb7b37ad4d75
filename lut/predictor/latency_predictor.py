"""The predictor of one device: any ONNX file to a latency, layer by layer, with an interval.

A folder: `predictor.json` with rooflines, counts, calibration, errors and the context, sealed with its
SHA-256, and one ONNX file of trees per kind of kernel, each hashed in it; a predictor that was transferred
from another device has that device's as well. Nothing in it runs code on load.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lut.predictor.footprint.memory import MemoryModel
from lut.predictor.kernels.features import NAMES, Kernel, kernels_of
from lut.predictor.kernels.network import Overhead, doubt
from lut.predictor.kernels.regress import FEW, KernelModel
from targets import Context
from targets.errors import DamagedFileError
from targets.files import read_json, safe_name, sha256, write_atomic, write_json

Floats = NDArray[np.float64]

VERSION = 2
FILE = "predictor.json"


@dataclass(frozen=True, slots=True)
class Layer:
    """A kernel of a predicted network. source: how it was priced, `known`, `few samples` or `unknown`."""

    name: str
    op: str
    kind: str
    macs: int
    latency_ms: float
    source: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a network is expected to cost.

    low_ms, high_ms: as wide as nine of ten generated networks left out of the fit need; of networks from
    elsewhere fewer lie within (docs/benchmarks.md).
    kernels_from: where the list of kernels comes from, `target` (one profiled run there) or `layout rule`.
    unknown, few: kinds of kernels with no or few samples in the profile, with the samples that there are.
    overhead_ms: what is no kernel's. peak_memory_bytes: of a fresh process that loads and runs the network,
    None where the profile has no memory model. file_bytes: of the ONNX file as it is run.
    """

    latency_ms: float
    low_ms: float
    high_ms: float
    layers: tuple[Layer, ...] = field(repr=False)
    overhead_ms: float
    unknown: Mapping[str, int]
    few: Mapping[str, int]
    kernels_from: str
    file_bytes: int
    peak_memory_bytes: int | None

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all layers."""
        return sum(layer.macs for layer in self.layers)


@dataclass(frozen=True)
class LatencyPredictor:
    """What a profile of a device knows about any network.

    factor: multiplies a network's doubt to half the width of its interval. errors: on profiled networks
    that the model had not seen, in percent. device_s: seconds that the profile took on the device. rule:
    the device's layout, see `lut.predictor.layout`; memory: its model, see
    `lut.predictor.footprint.memory`; both as JSON, None where they are not known.
    """

    context: Context
    target: str
    date: str
    model: KernelModel
    overhead: Overhead
    factor: float
    errors: Mapping[str, Any]
    device_s: float
    rule: Mapping[str, Any] | None = None
    memory: Mapping[str, Any] | None = None

    def price(self, described: Sequence[Mapping[str, Any]], kernels_from: str, file_bytes: int) -> Prediction:
        """The prediction for kernels as `profilers.kernels.describe` tells them."""
        kernels = kernels_of(described)
        times = self.model.predict_ms(kernels)
        total = self.overhead.latency_ms(float(times.sum()), len(kernels))
        margin = self.factor * doubt(times, self.model.log_spread(kernels)) * total
        seen = {k.kind: self.model.counts.get(k.kind, 0) for k in kernels}
        return Prediction(
            total,
            max(total - margin, 0.0),
            total + margin,
            tuple(
                _layer(d, k, float(t), seen[k.kind])
                for d, k, t in zip(described, kernels, times, strict=True)
            ),
            total - float(times.sum()),
            {kind: n for kind, n in sorted(seen.items()) if n == 0},
            {kind: n for kind, n in sorted(seen.items()) if 0 < n < FEW},
            kernels_from,
            file_bytes,
            self._peak_bytes(described, file_bytes),
        )

    def _peak_bytes(self, described: Sequence[Mapping[str, Any]], file_bytes: int) -> int | None:
        if self.memory is None:
            return None
        return MemoryModel.from_json(self.memory).predict(described, file_bytes).peak_bytes

    def save(self, folder: Path) -> None:
        """Write the folder; what lay there is replaced file by file, the JSON last."""
        document = {
            "version": VERSION,
            "target": self.target,
            "date": self.date,
            "context": {"hash": self.context.hash, "facts": dict(self.context.facts)},
            "features": {family: list(names) for family, names in NAMES.items()},
            "model": _save_model(self.model, folder, ""),
            "overhead": asdict(self.overhead),
            "factor": self.factor,
            "errors": dict(self.errors),
            "device_s": self.device_s,
            "rule": self.rule,
            "memory": self.memory,
        }
        write_json(folder / FILE, {**document, "sha256": _seal(document)})


def load(folder: Path) -> LatencyPredictor:
    """The predictor in the folder; DamagedFileError names what is missing, changed or of another version."""
    path = folder / FILE
    document = read_json(path, "latency predictor")
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise DamagedFileError(f"latency predictor {path} is none of version {VERSION}; {_ADVICE}")
    seal = document.pop("sha256", None)
    if seal != _seal(document):
        raise DamagedFileError(f"latency predictor {path}: content does not match its SHA-256; {_ADVICE}")
    if document["features"] != {family: list(names) for family, names in NAMES.items()}:
        raise DamagedFileError(f"latency predictor {path} was made with other features of kernels; {_ADVICE}")
    return LatencyPredictor(
        Context(document["context"]["facts"]),
        document["target"],
        document["date"],
        _load_model(document["model"], folder, path),
        Overhead(**document["overhead"]),
        document["factor"],
        document["errors"],
        document["device_s"],
        document["rule"],
        document["memory"],
    )


_ADVICE = "delete the folder and profile the target again"


def _save_model(model: KernelModel, folder: Path, prefix: str) -> dict[str, Any]:
    files = {}
    for kind, data in model.trees.items():
        name = f"{prefix}{safe_name(kind)}.onnx"
        write_atomic(folder / name, data)
        files[kind] = {"file": name, "sha256": sha256(data)}
    return {
        "rooflines": {name: list(weights) for name, weights in model.rooflines.items()},
        "trees": files,
        "counts": dict(model.counts),
        "spread": dict(model.spread),
        "base": None if model.base is None else _save_model(model.base, folder, f"{prefix}base-"),
    }


def _load_model(document: Mapping[str, Any], folder: Path, path: Path) -> KernelModel:
    trees = {}
    for kind, entry in document["trees"].items():
        file = folder / Path(entry["file"]).name
        data = file.read_bytes() if file.is_file() else b""
        if sha256(data) != entry["sha256"]:
            raise DamagedFileError(f"latency predictor {path}: {file.name} is missing or damaged; {_ADVICE}")
        trees[kind] = data
    base = document["base"]
    return KernelModel(
        {name: tuple(weights) for name, weights in document["rooflines"].items()},
        trees,
        document["counts"],
        document["spread"],
        None if base is None else _load_model(base, folder, path),
    )


def _layer(described: Mapping[str, Any], kernel: Kernel, latency_ms: float, n: int) -> Layer:
    source = "unknown" if n == 0 else "few samples" if n < FEW else "known"
    macs = int(kernel.macs) if math.isfinite(kernel.macs) else 0
    return Layer(described["name"], described["op"], kernel.kind, macs, latency_ms, source)


def _seal(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256(text.encode())
