"""A variant beside the float file: does it load, run and answer the same, and which layer is to blame.

Outputs are compared on validation images, or on noise where there are none. A tensor of the variant is the
tensor of the same name in the float file; in a quantised file it is that with the suffix of the operator that
brings it back to float.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from profilers.inputs import make_feeds
from targets.errors import DamagedFileError

from .export import CHECK_IMAGES
from .onnx_score import answer_of, batch_of, calls_of, open_session
from .packaging import PIXELS, PLAIN, Packaging

if TYPE_CHECKING:
    from hwnas.data import Data

FloatArray = NDArray[np.float32]
Normalisation = tuple[Sequence[float], Sequence[float]]
"""Mean and deviation per channel, of pixels in 0..1."""

Feeds = Mapping[str, Any]
"""One call: an array by the name of each input."""

_NOISE_CALLS = 8
LAYER_CALLS = 8
"""Calls by which layers are compared; their ratios settle fast."""

_QUANTISED = "_DequantizeLinear_Output"
"""What the quantiser adds to the name of a tensor that it has brought back to float."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantCheck:
    """How near the answers are to those of the float file.

    fed: `validation images` or `noise`. calls: of the file.
    max_difference: largest one of an output; None where it is no number.
    allowed: None where accuracy alone decides.
    largest_output: of the float file.
    snr_db: power of the float outputs over that of the differences; None where there are none.
    worst_layer: the operator after which the answers have drifted farthest apart; None where not looked for.
    reason: why the file is rejected; empty where it is good.
    """

    fed: str
    calls: int
    max_difference: float | None
    allowed: float | None
    largest_output: float
    snr_db: float | None
    worst_layer: dict[str, Any] | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class LayerDifference:
    """A tensor that both files compute.

    layer, op: the operator that writes it. snr_db: inf where both are the same.
    """

    layer: str
    op: str
    tensor: str
    snr_db: float


def check_feeds(model: bytes, data: Data | None, packaging: Packaging) -> tuple[str, list[Feeds]]:
    """(what is fed, calls) for a file with that packaging; the same images for every variant."""
    session = open_session(model)
    if data is None:
        return "noise", [make_feeds("the network", session, seed) for seed in range(_NOISE_CALLS)]
    size = batch_of(session)
    calls: list[Feeds] = []
    for x, _ in packaging.batches(data, "val", size, CHECK_IMAGES):
        images = np.ascontiguousarray(x.numpy())
        calls += [feeds for feeds, _ in calls_of(session, np.resize(images, (size, *images.shape[1:])))]
    return "validation images", calls


def check_variant(
    model: bytes,
    reference: bytes,
    data: Data | None,
    tolerance: float | None,
    name: str,
    packaging: Packaging = PLAIN,
    normalisation: Normalisation = ((), ()),
) -> VariantCheck:
    """Run both files. What does not load or run, or answers otherwise, has a reason and no exception.

    reference: the float network without preprocessing. packaging: of `model`. normalisation: mean and
    deviation of its pixels, which noise needs where `model` takes pixels.
    """
    fed, plain = check_feeds(reference, data, PLAIN)
    pixels: list[Feeds] = []
    if data is None and packaging.layout is not None:
        pixels, plain = _pixel_noise(reference, packaging, normalisation)
    expected = _answers(reference, plain)
    largest = max((float(np.abs(row).max()) for row in expected), default=0.0)
    # Of a network without images nothing says that its outputs are logits, around 1.
    scale = largest or 1.0 if data is None else max(1.0, largest)
    allowed = None if tolerance is None else tolerance * scale
    facts: dict[str, Any] = {
        "fed": fed, "calls": len(plain), "allowed": allowed, "largest_output": largest,
        "max_difference": None, "snr_db": None, "worst_layer": None,
    }  # fmt: skip
    try:
        calls = pixels or check_feeds(model, data, packaging)[1]
        answered = _answers(model, calls)
    except DamagedFileError as error:
        return VariantCheck(**facts, reason=f"{name}: {error}")
    if [a.shape for a in answered] != [e.shape for e in expected]:
        return VariantCheck(**facts, reason=f"{name}: its output has another shape than fp32's")
    if not all(np.isfinite(row).all() for row in answered):
        return VariantCheck(**facts, reason=f"{name}: its outputs are not all finite")
    difference = max(float(np.abs(a - e).max()) for a, e in zip(answered, expected, strict=True))
    facts |= {"max_difference": difference, "snr_db": _finite(_snr_db(expected, answered))}
    if allowed is None or difference <= allowed:
        return VariantCheck(**facts, reason="")
    reason = f"{name}: its outputs differ from fp32's by {difference:.3g}, allowed are {allowed:.3g}"
    layers = layer_differences(model, reference, calls[:LAYER_CALLS], plain[:LAYER_CALLS])
    if layers:
        first = worst_layer(layers)
        facts["worst_layer"] = {"layer": first.layer, "op": first.op, "snr_db": _finite(first.snr_db)}
        reason += f"; the worst layer is {first.layer} ({first.op})"
    return VariantCheck(**facts, reason=reason)


def _pixel_noise(
    reference: bytes, packaging: Packaging, normalisation: Normalisation
) -> tuple[list[Feeds], list[Feeds]]:
    """The same random pixels as a packaged file takes them, and normalised for the float network."""
    wanted = open_session(reference).get_inputs()[0]
    n, c, h, w = wanted.shape
    mean, std = (np.asarray(values, np.float64) for values in normalisation)
    calls: tuple[list[Feeds], list[Feeds]] = ([], [])
    for seed in range(_NOISE_CALLS):
        pixels = np.random.default_rng(seed).integers(0, 256, (n, h, w, c)).astype(np.uint8)
        first = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        normalised = ((pixels / 255 - mean) / std).astype(np.float32).transpose(0, 3, 1, 2)
        calls[0].append({PIXELS: pixels if packaging.layout == "nhwc" else first})
        calls[1].append({wanted.name: np.ascontiguousarray(normalised)})
    return calls


def layer_differences(
    model: bytes, reference: bytes, calls: Sequence[Feeds], plain: Sequence[Feeds] | None = None
) -> list[LayerDifference]:
    """Every tensor that both files have, in the order of the float file; [] for files that are not ONNX.

    calls: of the model. plain: the same images for the float file, where it takes them otherwise.
    """
    try:
        tensors = _shared_tensors(model, reference)
    except Exception:  # a file in another format has no tensors that could be named
        return []
    if not tensors:
        return []
    writers = {out: node for node in _load(reference).graph.node for out in node.output}
    ours = _run_tensors(model, list(tensors.values()), calls)
    theirs = _run_tensors(reference, list(tensors), calls if plain is None else plain)
    sums = {name: [0.0, 0.0] for name in tensors}
    for mine, right in zip(ours, theirs, strict=True):
        for power, a, b in zip(sums.values(), mine, right, strict=True):
            power[0] += float(np.square(b, dtype=np.float64).sum())
            power[1] += float(np.square(a.astype(np.float64) - b).sum())
    return [
        LayerDifference(writers[name].name or name, writers[name].op_type, name, _decibel(*power))
        for name, power in sums.items()
    ]


def worst_layer(layers: Sequence[LayerDifference]) -> LayerDifference:
    """The layer after which the answers are farthest apart.

    Not the last layers, which inherit what the ones before lost: the one that loses most against the best of
    its predecessors in the order of the graph, the whole file counted where none loses.
    """
    best, worst, loss = math.inf, layers[0], -math.inf
    for layer in layers:
        lost = min(best, _MOST_DB) - min(layer.snr_db, _MOST_DB)
        if lost > loss:
            worst, loss = layer, lost
        best = min(best, layer.snr_db)
    return worst


def _answers(model: bytes, calls: Iterable[Feeds]) -> list[FloatArray]:
    """The answer to each call; DamagedFileError where the file cannot be run."""
    session = open_session(model)
    try:
        return [np.asarray(answer_of(session, session.run(None, dict(feeds))), np.float32) for feeds in calls]
    except Exception as error:  # onnxruntime raises its own classes, one per status code
        raise DamagedFileError(f"onnxruntime cannot run it: {str(error).splitlines()[0]}") from error


def _snr_db(expected: Sequence[FloatArray], answered: Sequence[FloatArray]) -> float:
    signal = sum(float(np.square(row, dtype=np.float64).sum()) for row in expected)
    noise = sum(
        float(np.square(a.astype(np.float64) - e).sum()) for a, e in zip(answered, expected, strict=True)
    )
    return _decibel(signal, noise)


def _decibel(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def _finite(snr_db: float) -> float:
    return max(-_MOST_DB, min(_MOST_DB, snr_db))


_MOST_DB = 200.0
"""What stands for infinity, which JSON lacks: the outputs are the same."""


def _load(model: bytes) -> onnx.ModelProto:
    return onnx.load_model_from_string(model)


def _shared_tensors(model: bytes, reference: bytes) -> dict[str, str]:
    """Name in the float file: name in the other, where both hold floats of the same meaning."""
    there = {out for node in _load(model).graph.node for out in node.output if out}
    pairs = {}
    for node in _load(reference).graph.node:
        for out in node.output:
            name = next((n for n in (f"{out}{_QUANTISED}", out) if n in there), None)
            if out and name and node.op_type not in _NO_FLOATS:
                pairs[out] = name
    return pairs


_NO_FLOATS = frozenset(("Constant", "Shape", "Cast", "Gather", "If", "Loop", "Scan", "NonZero", "ArgMax"))
"""Operators whose output may be no float, or is the same in every file."""


def _run_tensors(model: bytes, names: Sequence[str], calls: Sequence[Feeds]) -> Iterator[list[FloatArray]]:
    """The tensors of these names at each call."""
    import onnxruntime as ort

    whole = _load(model)
    del whole.graph.output[:]
    whole.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(whole.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for feeds in calls:
        yield [np.asarray(value, np.float32) for value in session.run(list(names), dict(feeds))]
