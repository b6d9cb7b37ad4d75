"""What a profile of a device knows: from the kernels of a network to its latency, layer by layer.

It is stored as a folder: `predictor.json` with rooflines, counts, calibration, errors, the context and its
own checksum, and ONNX files of trees, one per kind of kernel and one for whole networks, whose checksums the
JSON has. A predictor that was transferred from another device has that device's trees as well. Nothing in it
runs code on load.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lut.predictor.footprint.memory import MemoryModel
from lut.predictor.kernels.features import NAMES, KernelFeatures, features_of
from lut.predictor.kernels.macs import kernel_macs
from lut.predictor.kernels.model import FEW, KernelModel
from lut.predictor.kernels.network import Overhead, interval_ms, predicted_uncertainty
from lut.predictor.kernels.regress import Forests
from lut.predictor.kernels.whole import total_ms
from profilers.kernels import Kernel
from targets import Context
from targets.checksummed import read_checksummed, write_checksummed
from targets.errors import DamagedFileError
from targets.files import safe_name, sha256, write_atomic

VERSION = 7
FILE = "predictor.json"
WHOLE = "whole.onnx"
"""The trees that correct networks as a whole."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A kernel of a predicted network.

    name, op: of the node in the optimised graph.
    kind: the unit of coverage, see `lut.predictor.kernels`.
    macs, latency_ms: its work, None where it is not counted, and what it is predicted to take.
    source: how well its kind is known from the profile: `known`, `few samples` or `unknown`.
    """

    name: str
    op: str
    kind: str
    macs: int | None
    latency_ms: float
    source: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a network is expected to cost.

    low_ms, high_ms: an interval that is to hold nine of ten networks. It widens with the time in kinds of
        kernels that the profile has not seen, and the further kernels lie outside of all that it has seen.
    layers: its kernels, in order of execution.
    overhead_ms: the part of the latency that belongs to no kernel.
    unknown, few: kinds of kernels with no or few samples in the profile, with the samples that there are.
    kernels_from: where the list of kernels comes from, `target` (one profiled run there) or `layout rule`.
    file_bytes: of the ONNX file as it is run.
    peak_memory_bytes: of a fresh process that loads and runs the network; None where the profile has no
        memory model.
    notes: which branches ran and how often bodies of loops did; the estimate is of these.
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
    notes: tuple[str, ...] = ()

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all layers where they are counted."""
        return sum(layer.macs or 0 for layer in self.layers)

    @property
    def not_counted(self) -> tuple[str, ...]:
        """The operators whose multiply-accumulates are not in `macs`."""
        return tuple(sorted({layer.op for layer in self.layers if layer.macs is None}))


@dataclass(frozen=True)
class LatencyPredictor:
    """The stored result of a profile: it estimates a list of kernels, and never talks to the device.

    `DevicePredictor` adds the way to the device, and so takes ONNX files.

    context, target, date: where and when the profile was made.
    model, overhead: from kernels to their latencies, and from these to that of the network.
    quantiles: by class of latency; times a network's predicted uncertainty, half the width of its interval
        on a logarithmic scale.
    errors: on profiled networks that the model had not seen, in percent.
    device_s: seconds that the profile took on the device.
    rule: the device's layout as JSON, see `lut.predictor.layout`; None where it is not known.
    memory: its memory model as JSON, see `lut.predictor.footprint.memory`; None where it is not known.
    whole: trees that correct the network as a whole, see `lut.predictor.kernels.whole`; None: nothing does.
    """

    context: Context
    target: str
    date: str
    model: KernelModel
    overhead: Overhead
    quantiles: Sequence[float]
    errors: Mapping[str, Any]
    device_s: float
    rule: Mapping[str, Any] | None = None
    memory: Mapping[str, Any] | None = None
    whole: bytes | None = None

    def estimate(self, kernels: Sequence[Kernel], kernels_from: str, file_bytes: int) -> Prediction:
        """The prediction for the kernels of a network, which come in order of execution."""
        features = features_of(kernels)
        alone_ms = self.model.predict_ms(features)
        latency_ms, factor = total_ms(self.overhead, self.whole, features, alone_ms)
        times_ms = alone_ms * factor
        kinds = [f.kind for f in features]
        uncertainty = predicted_uncertainty(times_ms, self.model.log_spread(features), kinds)
        low_ms, high_ms = interval_ms(latency_ms, uncertainty, self.quantiles)
        samples = {f.kind: self.model.counts.get(f.kind, 0) for f in features}
        layers = zip(kernels, features, times_ms, strict=True)
        return Prediction(
            latency_ms=latency_ms,
            low_ms=low_ms,
            high_ms=high_ms,
            layers=tuple(_layer(kernel, f, float(ms), samples[f.kind]) for kernel, f, ms in layers),
            overhead_ms=latency_ms - float(times_ms.sum()),
            unknown={kind: n for kind, n in sorted(samples.items()) if n == 0},
            few={kind: n for kind, n in sorted(samples.items()) if 0 < n < FEW},
            kernels_from=kernels_from,
            file_bytes=file_bytes,
            peak_memory_bytes=self._peak_bytes(kernels, file_bytes),
            notes=tuple(_control_flow(kernels)),
        )

    def _peak_bytes(self, kernels: Sequence[Kernel], file_bytes: int) -> int | None:
        if self.memory is None:
            return None
        return MemoryModel.from_json(self.memory).predict(kernels, file_bytes).peak_bytes

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
            "whole": None if self.whole is None else _save_trees(self.whole, folder, WHOLE),
            "quantiles": list(self.quantiles),
            "errors": dict(self.errors),
            "device_s": self.device_s,
            "rule": self.rule,
            "memory": self.memory,
        }
        write_checksummed(folder / FILE, document, compact=True)


def load(folder: Path) -> LatencyPredictor:
    """The predictor in the folder; DamagedFileError names what is missing, changed or of another version."""
    path = folder / FILE
    document = read_checksummed(path, "latency predictor", compact=True, advice=_ADVICE)
    if document.get("version") != VERSION:
        raise DamagedFileError(f"latency predictor {path} is none of version {VERSION}; {_ADVICE}")
    if document["features"] != {family: list(names) for family, names in NAMES.items()}:
        raise DamagedFileError(f"latency predictor {path} was made with other features of kernels; {_ADVICE}")
    return LatencyPredictor(
        context=Context(document["context"]["facts"]),
        target=document["target"],
        date=document["date"],
        model=_load_model(document["model"], folder, path),
        overhead=Overhead(**document["overhead"]),
        whole=None if document["whole"] is None else _load_trees(document["whole"], folder, path),
        quantiles=tuple(document["quantiles"]),
        errors=document["errors"],
        device_s=document["device_s"],
        rule=document["rule"],
        memory=document["memory"],
    )


_ADVICE = "delete the folder and profile the target again"


def _save_model(model: KernelModel, folder: Path, prefix: str) -> dict[str, Any]:
    return {
        **_save_forests(Forests(model.rooflines, model.trees), folder, prefix),
        "counts": dict(model.counts),
        "spread": dict(model.spread),
        "ranges": {kind: [list(low), list(high)] for kind, (low, high) in model.ranges.items()},
        "tick_ms": model.tick_ms,
        "small": None if model.small is None else _save_forests(model.small, folder, f"{prefix}small-"),
        "base": None if model.base is None else _save_model(model.base, folder, f"{prefix}base-"),
    }


def _save_forests(forests: Forests, folder: Path, prefix: str) -> dict[str, Any]:
    files = {}
    for kind, data in forests.trees.items():
        files[kind] = _save_trees(data, folder, f"{prefix}{safe_name(kind)}.onnx")
    return {
        "rooflines": {name: list(weights) for name, weights in forests.rooflines.items()},
        "trees": files,
    }


def _save_trees(data: bytes, folder: Path, name: str) -> dict[str, str]:
    write_atomic(folder / name, data)
    return {"file": name, "sha256": sha256(data)}


def _load_trees(entry: Mapping[str, str], folder: Path, path: Path) -> bytes:
    file = folder / Path(entry["file"]).name
    data = file.read_bytes() if file.is_file() else b""
    if sha256(data) != entry["sha256"]:
        raise DamagedFileError(f"latency predictor {path}: {file.name} is missing or damaged; {_ADVICE}")
    return data


def _load_model(document: Mapping[str, Any], folder: Path, path: Path) -> KernelModel:
    large, small, base = _load_forests(document, folder, path), document["small"], document["base"]
    return KernelModel(
        rooflines=large.rooflines,
        trees=large.trees,
        counts=document["counts"],
        spread=document["spread"],
        tick_ms=document["tick_ms"],
        ranges={kind: (low, high) for kind, (low, high) in document["ranges"].items()},
        base=None if base is None else _load_model(base, folder, path),
        small=None if small is None else _load_forests(small, folder, path),
    )


def _load_forests(document: Mapping[str, Any], folder: Path, path: Path) -> Forests:
    return Forests(
        rooflines={name: tuple(weights) for name, weights in document["rooflines"].items()},
        trees={kind: _load_trees(entry, folder, path) for kind, entry in document["trees"].items()},
    )


def _layer(kernel: Kernel, features: KernelFeatures, latency_ms: float, n_samples: int) -> Layer:
    return Layer(
        name=kernel.name,
        op=kernel.op,
        kind=features.kind,
        macs=kernel_macs(kernel, features.macs),
        latency_ms=latency_ms,
        source="unknown" if n_samples == 0 else "few samples" if n_samples < FEW else "known",
    )


def _control_flow(kernels: Sequence[Kernel]) -> list[str]:
    """What each `If` and each loop of the run did."""
    notes = []
    for kernel in kernels:
        if kernel.op == "If" and "branch" in kernel.attributes:
            notes.append(f"{kernel.op} {kernel.name} ran its {kernel.attributes['branch'].replace('_', ' ')}")
        elif "trips" in kernel.attributes:
            notes.append(f"{kernel.op} {kernel.name} ran its body {kernel.attributes['trips']} times")
    shown = list(dict.fromkeys(notes))
    return shown[:_SHOWN] + (
        [f"and {len(shown) - _SHOWN} more branches and loops"] if len(shown) > _SHOWN else []
    )


_SHOWN = 8
