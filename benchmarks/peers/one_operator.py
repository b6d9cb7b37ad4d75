"""A kernel of an optimised graph, undone into the operators it was made of, each as an ONNX file of its own.

A blocked or fused convolution is Conv with bias and activation, its fused sum an Add beside it. Channels
stay those that the kernel has, padded to its block: operators of 28 and of 32 channels run the same kernel.
Numbers that only the source held, as the bounds of a Slice, are chosen such that the shapes come out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lut.predictor.kernels.features import FREE
from profilers.kernels import Argument, Kernel
from targets.files import sha256

from .common import lone_kernel

_NCHWC = "com.microsoft.nchwc"
_OPSET, _IR = 17, 8
_SUM_INPUT = 3
_CONVOLUTIONS = ("Conv", "FusedConv")
_PRODUCTS = ("Gemm", "FusedGemm")


def operators(kernel: Kernel) -> list[Kernel]:
    """The operators of the source, without those that only rename or reorder."""
    op, inputs, outputs = kernel.op, kernel.inputs, kernel.outputs
    if op in FREE or op.startswith("Reorder"):
        return []
    if op in _CONVOLUTIONS and len(inputs) > _SUM_INPUT:
        bias = tuple(a for a in inputs[2:_SUM_INPUT] if a.role != "none")
        added = lone_kernel("Add", [outputs[0]] * 2, outputs[:1])
        return [replace(kernel, inputs=inputs[:2] + bias), added]
    if op == "SkipLayerNormalization":
        x, weights = inputs[0], [a for a in inputs[2:4] if a.role == "weight"]
        return [
            lone_kernel("Add", [x, x], [x]),
            lone_kernel("LayerNormalization", [x, *weights], [x], axis=-1),
        ]
    if op == "BiasGelu":
        return [lone_kernel("Add", inputs, outputs), lone_kernel("Gelu", outputs, outputs)]
    return [kernel]


def key(kernel: Kernel) -> str:
    """Equal for equal operators, whatever their names."""
    values = kernel.to_json()
    what = [kernel.op, sorted(kernel.attributes.items()), values["inputs"], values["outputs"]]
    return f"{kernel.op}-{sha256(repr(what).encode())[:16]}"


def onnx_bytes(kernel: Kernel) -> bytes | None:
    """The operator alone in a file; None where its inputs cannot be told from the kernel."""
    writer = _Writer()
    outputs = _WRITE.get(kernel.op, _as_it_is)(writer, kernel)
    return writer.finished(outputs) if outputs else None


class _Writer:
    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._inputs: list[Any] = []

    def argument(self, argument: Argument, shape: Sequence[int] | None = None) -> str:
        """A weight of noise, an input of the graph, or nothing."""
        from onnx import TensorProto, helper

        role, _, own = argument
        shape = own if shape is None else shape
        if role == "none":
            return ""
        if role == "weight":
            return self.constant(np.resize(_noise(), int(np.prod(shape))).reshape(shape))
        name = f"x{len(self._inputs)}"
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))
        return name

    def constant(self, value: NDArray[Any] | np.float32) -> str:
        from onnx import numpy_helper

        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op: str, inputs: Sequence[str], n_outputs: int = 1, **attributes: Any) -> list[str]:
        from onnx import helper

        names = [f"y{len(self._nodes)}_{i}" for i in range(n_outputs)]
        self._nodes.append(helper.make_node(op, inputs, names, **attributes))
        return names

    def finished(self, outputs: Sequence[str]) -> bytes:
        from onnx import TensorProto, helper

        results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self._nodes, "operator", self._inputs, results, self._weights)
        opset = [helper.make_opsetid("", _OPSET)]
        return bytes(helper.make_model(graph, opset_imports=opset, ir_version=_IR).SerializeToString())


@cache
def _noise() -> NDArray[np.float32]:
    return 0.1 * np.random.default_rng(0).standard_normal(4093, dtype=np.float32)


def _as_it_is(w: _Writer, kernel: Kernel) -> list[str]:
    """One node with the kernel's own attributes; whole-numbered weights come from `_VALUES`."""
    values = _VALUES.get(kernel.op, _no_values)(kernel)
    names = []
    for i, argument in enumerate(kernel.inputs):
        if i in values:
            names.append(w.constant(values[i]))
        elif argument.role != "none" and argument.element_type != "float":
            return []
        else:
            names.append(w.argument(argument))
    return w.node(kernel.op, names, len(kernel.outputs), **kernel.attributes)


def _with_activation(w: _Writer, kernel: Kernel) -> list[str]:
    """Conv and Gemm of any name, and what was fused behind them."""
    attributes = {k: v for k, v in kernel.attributes.items() if not k.startswith("activation")}
    op = kernel.op.removeprefix("Fused")
    y = w.node(op, [w.argument(a) for a in kernel.inputs], **attributes)
    name = str(kernel.attributes.get("activation", ""))
    parameters = list(kernel.attributes.get("activation_params", ()))
    if not name:
        return y
    if name == "Clip":
        bounds = [w.constant(np.float32(v)) for v in (parameters or [0.0, 6.0])]
        return w.node("Clip", [*y, *bounds])
    if name == "HardSigmoid" and len(parameters) == 2:
        return w.node(name, y, alpha=parameters[0], beta=parameters[1])
    if name == "LeakyRelu" and parameters:
        return w.node(name, y, alpha=parameters[0])
    return w.node(name, y)


def _fused_matmul(w: _Writer, kernel: Kernel) -> list[str]:
    names = []
    for argument, flag in zip(kernel.inputs, ("transA", "transB"), strict=False):
        shape = list(argument.shape)
        if kernel.attributes.get(flag):
            shape[-2:] = shape[:-3:-1]
        names.append(w.argument(argument, shape))
    return w.node("MatMul", names)


def _quick_gelu(w: _Writer, kernel: Kernel) -> list[str]:
    x = w.argument(kernel.inputs[0])
    return w.node("Mul", [x, *w.node("Sigmoid", [x])])


def _gelu(w: _Writer, kernel: Kernel) -> list[str]:
    x = w.argument(kernel.inputs[0])
    two, unit, half = (w.constant(np.float32(v)) for v in (2**0.5, 1.0, 0.5))
    erf = w.node("Erf", w.node("Div", [x, two]))
    return w.node("Mul", [*w.node("Mul", [x, *w.node("Add", [*erf, unit])]), half])


def _upsample(w: _Writer, kernel: Kernel) -> list[str]:
    attributes = {k: v for k, v in kernel.attributes.items() if k != "scales"}
    scales = w.constant(np.array(kernel.attributes["scales"], np.float32))
    return w.node("Resize", [w.argument(kernel.inputs[0]), "", scales], **attributes)


def _reduce(w: _Writer, kernel: Kernel) -> list[str]:
    """Axes as an attribute, as at opset 17 all but ReduceSum have them."""
    x, y = list(kernel.inputs[0].shape), list(kernel.outputs[0].shape)
    attributes = {k: v for k, v in kernel.attributes.items() if k in ("axes", "keepdims")}
    axes = list(attributes.pop("axes", ())) or _reduced(x, y)
    if not axes:
        return []
    names = [w.argument(kernel.inputs[0])]
    if kernel.op == "ReduceSum":
        return w.node("ReduceSum", [*names, w.constant(np.array(axes, np.int64))], **attributes)
    return w.node(kernel.op, names, axes=axes, **attributes)


def _reduced(x: Sequence[int], y: Sequence[int]) -> list[int]:
    """Axes of x that are 1 in y, or missing in it."""
    if len(x) == len(y):
        return [i for i, (a, b) in enumerate(zip(x, y, strict=True)) if a != b]
    axes, at = [], 0
    for i, size in enumerate(x):
        if at < len(y) and size == y[at]:
            at += 1
        else:
            axes.append(i)
    return axes if at == len(y) else []


_WRITE: Mapping[str, Callable[[_Writer, Kernel], list[str]]] = {
    **dict.fromkeys((*_CONVOLUTIONS, *_PRODUCTS), _with_activation),
    "FusedMatMul": _fused_matmul,
    "QuickGelu": _quick_gelu,
    "Gelu": _gelu,
    "Upsample": _upsample,
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2"), _reduce),
}

_Values = dict[int, Any]


def _ints(values: Sequence[int]) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def _no_values(_: Kernel) -> _Values:
    return {}


def _slice(kernel: Kernel) -> _Values:
    y = kernel.outputs[0].shape
    parts = ([0] * len(y), y, range(len(y)), [1] * len(y))
    return {i + 1: _ints(list(part)) for i, part in enumerate(parts) if i + 1 < len(kernel.inputs)}


def _pad(kernel: Kernel) -> _Values:
    x, y = kernel.inputs[0].shape, kernel.outputs[0].shape
    return {1: _ints([0] * len(x) + [b - a for a, b in zip(x, y, strict=True)])}


def _split(kernel: Kernel) -> _Values:
    axis = int(kernel.attributes.get("axis", 0))
    return {1: _ints([y.shape[axis] for y in kernel.outputs])} if len(kernel.inputs) > 1 else {}


def _tile(kernel: Kernel) -> _Values:
    return {1: _ints([b // a for a, b in zip(kernel.inputs[0].shape, kernel.outputs[0].shape, strict=True)])}


def _resize(kernel: Kernel) -> _Values:
    last = len(kernel.inputs) - 1
    if last == 3:
        return {3: _ints(kernel.outputs[0].shape)}
    pairs = zip(kernel.inputs[0].shape, kernel.outputs[0].shape, strict=True)
    return {last: np.array([b / a for a, b in pairs], np.float32)}


def _clip(kernel: Kernel) -> _Values:
    bounds = ((1, np.float32(0)), (2, np.float32(6)))
    return {i: v for i, v in bounds if i < len(kernel.inputs) and kernel.inputs[i].role != "none"}


_VALUES: Mapping[str, Callable[[Kernel], _Values]] = {
    "Slice": _slice,
    "Pad": _pad,
    "Split": _split,
    "Tile": _tile,
    "Resize": _resize,
    "Expand": lambda kernel: {1: _ints(kernel.outputs[0].shape)},
    "Gather": lambda kernel: {1: np.zeros(kernel.inputs[1].shape, np.int64)},
    "Clip": _clip,
}
"""op -> place of the input -> its value."""
