"""An 8-bit file that keeps a promise on its accuracy, by leaving the layers in float that cost most.

First the ranges of the tensors: from lowest to highest value, as moving averages, as percentiles. Where none
keeps the promise, and where it is asked for, up to two epochs of quantisation-aware training (`aware.py`).
Then the layer that adds most noise (`check.layer_differences`) goes back to float, one after the other, until
the promise is kept or a fifth of the arithmetic is float. Every step is scored on all validation images, as
the final file will be. The steps are a small front of accuracy and latency: what another limit would cost can
be read from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import onnx

from lut.predictor.models.quantise import front_nodes, quantised
from lut.predictor.models.ranges import AVERAGE, RANGES, WIDEST

from .check import Feeds, layer_differences
from .compact import compact
from .variants import Making

MAX_FLOAT_SHARE = 0.2
"""Of the MACs: more in float, and the file gains nothing over fp16 or fp32."""

MAX_STEPS = 16

_CEILING_DB = 60.0
"""Above it, 8 bits add no more noise than the type itself has."""

_WEIGHTED = frozenset(("Conv", "Gemm", "MatMul", "ConvTranspose"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One 8-bit file on the way.

    ranges: a word of `RANGES`. aware_epochs: of quantisation-aware training. floats: the layers in float.
    float_share: of the MACs. val_accuracy: on all validation images. content: the file.
    """

    ranges: str
    aware_epochs: int = 0
    floats: tuple[str, ...]
    float_share: float
    val_accuracy: float
    content: bytes


@dataclass(frozen=True, slots=True)
class _Setting:
    """What a step is made of. model: the float network."""

    model: bytes
    ranges: str
    aware_epochs: int = 0
    floats: tuple[str, ...] = ()


def steps_to(
    making: Making, accuracy: Callable[[bytes], float], wanted: float, calls: Sequence[Feeds]
) -> list[Step]:
    """Files until one has the `wanted` accuracy; the last one has it, where any has.

    making: with form and calibration. accuracy: of a file. calls: images by which layers are compared.
    """
    search = _Search(making, accuracy)
    for ranges in RANGES:
        if search.step(_Setting(making.model, ranges)) >= wanted:
            return search.steps
    for epochs, model in enumerate(making.aware() if making.aware else (), 1):
        for ranges in (AVERAGE, WIDEST):
            if search.step(_Setting(model, ranges, epochs)) >= wanted:
                return search.steps
    best = search.best
    for name in noisiest(search.content(best), best.model, calls):
        if search.float_share((*best.floats, name)) > MAX_FLOAT_SHARE:
            continue  # a smaller layer may still fit
        best = replace(best, floats=(*best.floats, name))
        if search.step(best) >= wanted or len(search.steps) >= MAX_STEPS:
            break
    return search.steps


class _Search:
    """The steps so far."""

    def __init__(self, making: Making, accuracy: Callable[[bytes], float]) -> None:
        assert making.form is not None and making.calibration is not None  # as for every 8-bit file
        self._form, self._samples, self._accuracy = making.form, making.calibration, accuracy
        self._macs = macs_by_node(making.model)
        self._settings: list[_Setting] = []
        self.steps: list[Step] = []

    def step(self, setting: _Setting) -> float:
        """Add a step; returns its accuracy."""
        content = compact(self.content(setting))
        step = Step(
            ranges=setting.ranges,
            aware_epochs=setting.aware_epochs,
            floats=setting.floats,
            float_share=self.float_share(setting.floats),
            val_accuracy=self._accuracy(content),
            content=content,
        )
        self._settings.append(setting)
        self.steps.append(step)
        return step.val_accuracy

    def content(self, setting: _Setting) -> bytes:
        """The file as the quantiser names its tensors."""
        return quantised(
            setting.model,
            self._form,
            self._samples(),
            floats=(*front_nodes(setting.model), *setting.floats),
            ranges=setting.ranges,
        )

    def float_share(self, floats: Sequence[str]) -> float:
        """The share of the MACs of these layers."""
        return sum(self._macs.get(name, 0) for name in floats) / (sum(self._macs.values()) or 1)

    @property
    def best(self) -> _Setting:
        """That of the most accurate step, the first of equal ones."""
        place = max(range(len(self.steps)), key=lambda i: self.steps[i].val_accuracy)
        return self._settings[place]


def chosen(steps: Sequence[Step], wanted: float) -> Step:
    """The first that has the accuracy; where none has, the most accurate."""
    good = [step for step in steps if step.val_accuracy >= wanted]
    return good[0] if good else max(steps, key=lambda step: step.val_accuracy)


def noisiest(model: bytes, reference: bytes, calls: Sequence[Feeds]) -> list[str]:
    """Names of the layers with weights, the one that adds most noise first.

    What a layer adds is the signal-to-noise ratio of its inputs, the worst of them, less that of its output.
    """
    layers = layer_differences(model, reference, calls)
    known = {layer.tensor: min(layer.snr_db, _CEILING_DB) for layer in layers}
    writers = {out: node for node in onnx.load_model_from_string(reference).graph.node for out in node.output}
    lost = []
    for layer in layers:
        node = writers[layer.tensor]
        before = min((known[name] for name in node.input if name in known), default=_CEILING_DB)
        if node.op_type in _WEIGHTED:
            lost.append((before - known[layer.tensor], layer.layer))
    return [name for _, name in sorted(lost, key=lambda pair: -pair[0])]


def macs_by_node(model: bytes) -> dict[str, int]:
    """Multiply-accumulates of convolutions and products, by the name of the node."""
    loaded = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(model))
    shapes: dict[str, list[int]] = {}
    for value in (*loaded.graph.value_info, *loaded.graph.output, *loaded.graph.input):
        shapes[value.name] = [d.dim_value for d in value.type.tensor_type.shape.dim]
    weights = {weight.name: list(weight.dims) for weight in loaded.graph.initializer}
    macs = {}
    for node in loaded.graph.node:
        if node.op_type not in _WEIGHTED or node.input[1] not in weights or node.output[0] not in shapes:
            continue
        shape, out = weights[node.input[1]], shapes[node.output[0]]
        per_output = math.prod(shape[1:]) if node.op_type == "Conv" else math.prod(shape) // out[-1]
        macs[node.name] = math.prod(out) * per_output
    return macs
