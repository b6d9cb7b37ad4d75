"""A kernel of an optimised graph, undone into the operators it was made of, each as an ONNX file of its own.

A blocked or fused convolution is Conv with bias and activation, its fused sum an Add beside it. Channels
stay those that the kernel has, padded to its block: operators of 28 and of 32 channels run the same kernel.
Numbers that only the source held, as the bounds of a Slice, are chosen such that the shapes come out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lut.predictor.kernels.features import FREE
from targets.files import sha256

from .common import Described

_NCHWC = "com.microsoft.nchwc"
_OPSET, _IR = 17, 8
_SUM_INPUT = 3
_CONVOLUTIONS = ("Conv", "FusedConv")
_PRODUCTS = ("Gemm", "FusedGemm")


def operators(one: Described) -> list[Described]:
    """The operators of the source, without those that only rename or reorder."""
    op, inputs = one["op"], list(one["inputs"])
    if op in FREE or op.startswith("Reorder"):
        return []
    if op in _CONVOLUTIONS and len(inputs) > _SUM_INPUT:
        rest = inputs[:2] + [a for a in inputs[2:_SUM_INPUT] if a[0] != "none"]
        return [{**one, "inputs": rest}, _plain("Add", [one["outputs"][0]] * 2, one["outputs"][:1])]
    if op == "SkipLayerNormalization":
        x, weights = inputs[0], [a for a in inputs[2:4] if a[0] == "weight"]
        return [
            _plain("Add", [x, x], [x]),
            _plain("LayerNormalization", [x, *weights], [x], {"axis": -1}),
        ]
    if op == "BiasGelu":
        return [_plain("Add", inputs, one["outputs"]), _plain("Gelu", one["outputs"], one["outputs"])]
    return [one]


def key(one: Described) -> str:
    """Equal for equal operators, whatever their names."""
    what = [one["op"], sorted(one["attributes"].items()), one["inputs"], one["outputs"]]
    return f"{one['op']}-{sha256(repr(what).encode())[:16]}"


def onnx_bytes(one: Described) -> bytes | None:
    """The operator alone in a file; None where its inputs cannot be told from the kernel."""
    writer = _Writer()
    outputs = _WRITE.get(one["op"], _as_it_is)(writer, one)
    return writer.finished(outputs) if outputs else None


class _Writer:
    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._inputs: list[Any] = []

    def argument(self, argument: Sequence[Any], shape: Sequence[int] | None = None) -> str:
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


def _plain(
    op: str, inputs: Sequence[Any], outputs: Sequence[Any], attributes: Mapping[str, Any] | None = None
) -> Described:
    return {
        "op": op,
        "domain": "",
        "attributes": dict(attributes or {}),
        "inputs": list(inputs),
        "outputs": list(outputs),
    }


def _as_it_is(w: _Writer, one: Described) -> list[str]:
    """One node with the kernel's own attributes; whole-numbered weights come from `_VALUES`."""
    values = _VALUES.get(one["op"], _no_values)(one)
    names = []
    for i, argument in enumerate(one["inputs"]):
        if i in values:
            names.append(w.constant(values[i]))
        elif argument[0] != "none" and argument[1] != "float":
            return []
        else:
            names.append(w.argument(argument))
    return w.node(one["op"], names, len(one["outputs"]), **one["attributes"])


def _with_activation(w: _Writer, one: Described) -> list[str]:
    """Conv and Gemm of any name, and what was fused behind them."""
    attributes = {k: v for k, v in one["attributes"].items() if not k.startswith("activation")}
    op = one["op"].removeprefix("Fused")
    y = w.node(op, [w.argument(a) for a in one["inputs"]], **attributes)
    name = str(one["attributes"].get("activation", ""))
    parameters = list(one["attributes"].get("activation_params", ()))
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


def _fused_matmul(w: _Writer, one: Described) -> list[str]:
    names = []
    for argument, flag in zip(one["inputs"], ("transA", "transB"), strict=False):
        shape = list(argument[2])
        if one["attributes"].get(flag):
            shape[-2:] = shape[:-3:-1]
        names.append(w.argument(argument, shape))
    return w.node("MatMul", names)


def _quick_gelu(w: _Writer, one: Described) -> list[str]:
    x = w.argument(one["inputs"][0])
    return w.node("Mul", [x, *w.node("Sigmoid", [x])])


def _gelu(w: _Writer, one: Described) -> list[str]:
    x = w.argument(one["inputs"][0])
    two, unit, half = (w.constant(np.float32(v)) for v in (2**0.5, 1.0, 0.5))
    erf = w.node("Erf", w.node("Div", [x, two]))
    return w.node("Mul", [*w.node("Mul", [x, *w.node("Add", [*erf, unit])]), half])


def _upsample(w: _Writer, one: Described) -> list[str]:
    attributes = {k: v for k, v in one["attributes"].items() if k != "scales"}
    scales = w.constant(np.array(one["attributes"]["scales"], np.float32))
    return w.node("Resize", [w.argument(one["inputs"][0]), "", scales], **attributes)


def _reduce(w: _Writer, one: Described) -> list[str]:
    """Axes as an attribute, as at opset 17 all but ReduceSum have them."""
    x, y = list(one["inputs"][0][2]), list(one["outputs"][0][2])
    attributes = {k: v for k, v in one["attributes"].items() if k in ("axes", "keepdims")}
    axes = list(attributes.pop("axes", ())) or _reduced(x, y)
    if not axes:
        return []
    names = [w.argument(one["inputs"][0])]
    if one["op"] == "ReduceSum":
        return w.node("ReduceSum", [*names, w.constant(np.array(axes, np.int64))], **attributes)
    return w.node(one["op"], names, axes=axes, **attributes)


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


_WRITE: Mapping[str, Callable[[_Writer, Described], list[str]]] = {
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


def _no_values(_: Described) -> _Values:
    return {}


def _slice(one: Described) -> _Values:
    y = one["outputs"][0][2]
    parts = ([0] * len(y), y, range(len(y)), [1] * len(y))
    return {i + 1: _ints(list(part)) for i, part in enumerate(parts) if i + 1 < len(one["inputs"])}


def _pad(one: Described) -> _Values:
    x, y = one["inputs"][0][2], one["outputs"][0][2]
    return {1: _ints([0] * len(x) + [b - a for a, b in zip(x, y, strict=True)])}


def _split(one: Described) -> _Values:
    axis = int(one["attributes"].get("axis", 0))
    return {1: _ints([y[2][axis] for y in one["outputs"]])} if len(one["inputs"]) > 1 else {}


def _tile(one: Described) -> _Values:
    return {1: _ints([b // a for a, b in zip(one["inputs"][0][2], one["outputs"][0][2], strict=True)])}


def _resize(one: Described) -> _Values:
    last = len(one["inputs"]) - 1
    if last == 3:
        return {3: _ints(one["outputs"][0][2])}
    pairs = zip(one["inputs"][0][2], one["outputs"][0][2], strict=True)
    return {last: np.array([b / a for a, b in pairs], np.float32)}


_VALUES: Mapping[str, Callable[[Described], _Values]] = {
    "Slice": _slice,
    "Pad": _pad,
    "Split": _split,
    "Tile": _tile,
    "Resize": _resize,
    "Expand": lambda one: {1: _ints(one["outputs"][0][2])},
    "Gather": lambda one: {1: np.zeros(one["inputs"][1][2], np.int64)},
    "Clip": lambda one: {
        i: np.float32(6 * (i - 1)) for i in (1, 2) if i < len(one["inputs"]) and one["inputs"][i][0] != "none"
    },
}
"""op -> place of the input -> its value."""
