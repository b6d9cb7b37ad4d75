"""What an app would otherwise do itself, inside the file: pixels in, and probabilities out where asked for.

With preprocessing, a file takes images as cameras and decoders hold them: whole numbers 0 to 255, and it
scales and normalises them. That is `Cast`, `Sub` of the mean and `Mul`, and where a convolution reads the
image, the `Mul` is folded into its weights, which changes nothing: what pads the image is the mean before and
0 after the `Sub`, and 0 times anything is 0. Without padding, the `Sub` goes into its bias too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from hwnas.tasks import CLASSIFICATION, LabelArray, Task
from targets.errors import UsageError, did_you_mean

from .onnx_score import LogitArray, OnnxScore

if TYPE_CHECKING:
    from hwnas.data import Data
    from hwnas.data.batches import Batch

LAYOUTS = {"nhwc": "NHWC uint8", "nchw": "NCHW uint8"}
"""Order of the pixels: by image row as decoders and cameras give them, or channel by channel."""

PIXELS, PROBABILITIES = "pixels", "probabilities"
"""Names of the input with preprocessing, of the output with softmax."""

ROUNDING = 1e-4
"""By how much folded weights may change an output, relative to the largest."""


@dataclass(frozen=True, kw_only=True)
class Packaging:
    """What goes into the file beside the network.

    layout: of the pixels, a key of LAYOUTS; None for no preprocessing.
    softmax: whether it ends with probabilities: a softmax, or what the task has instead.
    task: what the answers mean.
    """

    layout: str | None = None
    softmax: bool = False
    task: Task = CLASSIFICATION

    def __post_init__(self) -> None:
        if self.layout is not None and self.layout not in LAYOUTS:
            raise UsageError(
                f"unknown layout {self.layout!r} of --with-preprocessing; "
                f"{did_you_mean(self.layout, LAYOUTS)}"
            )

    def of(self, task: Task) -> Packaging:
        """The same for a task; UsageError where its answers cannot be probabilities."""
        if self.softmax and task.readable.activation is None:
            raise UsageError(f"--softmax: the answers of {task.name} are no scores of classes; leave it out")
        return replace(self, task=task)

    def reference(self, model: bytes) -> bytes:
        """The plain float network whose answers a packaged one must give."""
        operator = self.task.readable.activation
        return with_probabilities(model, operator) if self.softmax and operator else model

    def pack(self, model: bytes, mean: Sequence[float], std: Sequence[float]) -> bytes:
        """The file of one variant with what goes into it."""
        packed = self.reference(model)
        return packed if self.layout is None else with_preprocessing(packed, self.layout, mean, std)

    def batches(self, data: Data, split: str, size: int, limit: int | None = None) -> Iterator[Batch]:
        """Images of a split as the file takes them, and labels."""
        from hwnas.data import eval_batches, file_batches

        if self.layout is None:
            yield from file_batches(data, split, size, limit)
            return
        # With these two the normalisation is x * 1 + 0.
        channels = len(data.mean)
        raw = replace(data, mean=(0.0,) * channels, std=(1 / 255,) * channels)
        for x, y in eval_batches(raw, split, size, limit):
            pixels = x.round().byte()
            yield (pixels.permute(0, 2, 3, 1) if self.layout == "nhwc" else pixels).contiguous(), y

    def score(self, answers: LogitArray, labels: LabelArray) -> OnnxScore:
        """The answers of a packaged file, as those of the plain one."""
        return OnnxScore(self.task.plain(answers) if self.softmax else answers, labels, self.task)

    def described(self, described: dict[str, Any]) -> dict[str, Any]:
        """How the packaged file is fed and read."""
        out = dict(described)
        if self.layout is not None:
            n, c, h, w = described["input_shape"]
            out |= {
                "input_name": PIXELS,
                "input_layout": LAYOUTS[self.layout],
                "input_shape": [n, h, w, c] if self.layout == "nhwc" else [n, c, h, w],
                "normalisation": "inside the file; give pixels 0 to 255 as they are",
            }
        if self.softmax:
            out["output_name"] = PROBABILITIES
        return out


PLAIN = Packaging()
"""Nothing beside the network."""


def with_probabilities(model: bytes, operator: str = "Softmax") -> bytes:
    """The network whose first output is its softmax over the classes, or the sigmoid of each."""
    loaded = onnx.load_model_from_string(model)
    graph = loaded.graph
    before = graph.output[0].name
    options: dict[str, Any] = {"axis": -1} if operator == "Softmax" else {}
    graph.node.append(helper.make_node(operator, [before], [PROBABILITIES], name=operator.lower(), **options))
    graph.output[0].name = PROBABILITIES
    return bytes(loaded.SerializeToString())


def with_preprocessing(model: bytes, layout: str, mean: Sequence[float], std: Sequence[float]) -> bytes:
    """The network of one image input with uint8 pixels instead of normalised numbers.

    layout: of the pixels. mean, std: per channel, of pixels in 0..1. UsageError for several inputs.
    """
    loaded = onnx.load_model_from_string(model)
    graph = loaded.graph
    held = {weight.name for weight in graph.initializer}
    inputs = [value for value in graph.input if value.name not in held]
    shape = [d.dim_value for d in inputs[0].type.tensor_type.shape.dim]
    if len(inputs) != 1 or len(shape) != 4:
        names = ", ".join(value.name for value in inputs)
        raise UsageError(
            f"--with-preprocessing is for networks that read one batch of images, this one reads {names}; "
            "leave it out"
        )
    offset, scale = 255 * np.asarray(mean, np.float64), 1 / (255 * np.asarray(std, np.float64))
    image = inputs[0].name
    nodes = _pixels_as_float(layout)
    conv = _only_reader(graph, image)
    folded = conv is not None and conv.op_type == "Conv" and conv.input[1] in held
    if folded:
        assert conv is not None  # folded
        nodes += _fold(graph, conv, offset, scale)
    else:
        nodes += _normalise(graph, image, offset, scale)
    for node in reversed(nodes):
        graph.node.insert(0, node)
    n, c, h, w = shape
    sizes = [n, h, w, c] if layout == "nhwc" else shape
    inputs[0].CopyFrom(helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, sizes))
    read = {name for node in graph.node for name in node.input}
    for weight in [weight for weight in graph.initializer if weight.name not in read]:
        graph.initializer.remove(weight)  # those before folding
    return bytes(loaded.SerializeToString())


def _pixels_as_float(layout: str) -> list[onnx.NodeProto]:
    """Nodes whose last result is `pixels_float`, (n, c, h, w)."""
    last = "pixels_float"
    if layout == "nchw":
        return [helper.make_node("Cast", [PIXELS], [last], name="pixels_cast", to=TensorProto.FLOAT)]
    return [  # the bytes are moved before they become four times as many
        helper.make_node("Transpose", [PIXELS], ["pixels_nchw"], name="pixels_nchw", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["pixels_nchw"], [last], name="pixels_cast", to=TensorProto.FLOAT),
    ]


def _normalise(graph: onnx.GraphProto, image: str, offset: Any, scale: Any) -> list[onnx.NodeProto]:
    """Two nodes that write `image`."""
    _add_weight(graph, "pixels_mean", offset.reshape(1, -1, 1, 1))
    _add_weight(graph, "pixels_scale", scale.reshape(1, -1, 1, 1))
    return [
        helper.make_node("Sub", ["pixels_float", "pixels_mean"], ["pixels_centred"], name="pixels_centred"),
        helper.make_node("Mul", ["pixels_centred", "pixels_scale"], [image], name="pixels_scaled"),
    ]


def _fold(graph: onnx.GraphProto, conv: onnx.NodeProto, offset: Any, scale: Any) -> list[onnx.NodeProto]:
    """Put the scale into the weights of the convolution, and without padding the mean into its bias."""
    weights = _weight(graph, conv.input[1])
    group = next((a.i for a in conv.attribute if a.name == "group"), 1)
    # Weights are (out, in / group, k, k): the channels that a group reads stand side by side.
    per_group = scale.reshape(group, -1)
    factors = np.repeat(per_group, weights.shape[0] // group, axis=0)
    scaled = weights * factors[:, :, None, None]
    _add_weight(graph, "pixels_weights", scaled)
    conv.input[1] = "pixels_weights"
    padded = any(any(a.ints) for a in conv.attribute if a.name == "pads") or any(
        a.s not in (b"NOTSET", b"VALID") for a in conv.attribute if a.name == "auto_pad"
    )
    if padded:
        _add_weight(graph, "pixels_mean", offset.reshape(1, -1, 1, 1))
        conv.input[0] = "pixels_centred"
        return [
            helper.make_node(
                "Sub", ["pixels_float", "pixels_mean"], ["pixels_centred"], name="pixels_centred"
            )
        ]
    shift = np.repeat(offset.reshape(group, -1), weights.shape[0] // group, axis=0)
    bias = -(scaled * shift[:, :, None, None]).sum(axis=(1, 2, 3))
    if len(conv.input) > 2 and conv.input[2]:
        bias = bias + _weight(graph, conv.input[2])
        conv.input[2] = "pixels_bias"
    else:
        conv.input.append("pixels_bias")
    _add_weight(graph, "pixels_bias", bias)
    conv.input[0] = "pixels_float"
    return []


def _only_reader(graph: onnx.GraphProto, name: str) -> onnx.NodeProto | None:
    readers = [node for node in graph.node if name in node.input]
    return readers[0] if len(readers) == 1 else None


def _weight(graph: onnx.GraphProto, name: str) -> NDArray[np.float64]:
    tensor = next(weight for weight in graph.initializer if weight.name == name)
    return numpy_helper.to_array(tensor).astype(np.float64)


def _add_weight(graph: onnx.GraphProto, name: str, values: Any) -> None:
    graph.initializer.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
