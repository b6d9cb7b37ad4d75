"""An 8-bit file that keeps a promise on its accuracy, by leaving the layers in float that cost most.

First the ranges of the tensors: from lowest to highest value, then as moving averages. Where neither keeps
the promise, the layer that adds most noise (`check.layer_differences`) goes back to float, one after the
other, until the promise is kept or a fifth of the arithmetic is float. Every step is scored on all validation
images, as the final file will be. The steps are a small front of accuracy and latency: what another limit
would cost can be read from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx

from lut.predictor.models.quantise import quantised

from .check import Feeds, layer_differences
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

    ranges: `lowest to highest` or `moving average`. floats: the layers in float.
    float_share: of the MACs. val_accuracy: on all validation images. content: the file.
    """

    ranges: str
    floats: tuple[str, ...]
    float_share: float
    val_accuracy: float
    content: bytes


def steps_to(
    making: Making, accuracy: Callable[[bytes], float], wanted: float, calls: Sequence[Feeds]
) -> list[Step]:
    """Files until one has the `wanted` accuracy; the last one has it, where any has.

    making: with form and calibration. accuracy: of a file. calls: images by which layers are compared.
    """
    assert making.form is not None and making.calibration is not None  # as for every 8-bit file
    form, samples = making.form, making.calibration
    macs = macs_by_node(making.model)
    total = sum(macs.values()) or 1

    def step(ranges: str, floats: tuple[str, ...]) -> Step:
        averaged = ranges == _AVERAGE
        content = quantised(making.model, form, samples(), floats=floats, averaged=averaged)
        return Step(
            ranges=ranges,
            floats=floats,
            float_share=sum(macs.get(name, 0) for name in floats) / total,
            val_accuracy=accuracy(content),
            content=content,
        )

    steps = [step(_WIDEST, ())]
    if steps[-1].val_accuracy < wanted:
        steps.append(step(_AVERAGE, ()))
    best = max(steps, key=lambda each: each.val_accuracy)
    if best.val_accuracy >= wanted:
        return steps
    floats: tuple[str, ...] = ()
    for name in noisiest(best.content, making.model, calls):
        share = sum(macs.get(each, 0) for each in (*floats, name)) / total
        if share > MAX_FLOAT_SHARE:
            continue  # a smaller layer may still fit
        floats = (*floats, name)
        steps.append(step(best.ranges, floats))
        if steps[-1].val_accuracy >= wanted or len(steps) == MAX_STEPS:
            break
    return steps


def chosen(steps: Sequence[Step], wanted: float) -> Step:
    """The first that has the accuracy; where none has, the most accurate."""
    good = [step for step in steps if step.val_accuracy >= wanted]
    return good[0] if good else max(steps, key=lambda step: step.val_accuracy)


_WIDEST, _AVERAGE = "lowest to highest", "moving average"


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
