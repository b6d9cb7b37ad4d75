"""Kernels that only move data, or compute element by element."""

from __future__ import annotations

import math
from collections.abc import Sequence

from profilers.kernels import Argument, Kernel

from .feature_names import MemoryFeatures
from .kernel_features import BLOCKED, FREE, KernelWork, bytes_each, log1, present

_OPS = (
    "Add", "Mul", "Sub", "Div", "Pow", "Sqrt", "Erf", "Relu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish",
    "Tanh", "LeakyRelu", "PRelu", "Elu", "Gelu", "FastGelu", "QuickGelu", "BiasGelu", "Softmax",
    "LayerNormalization", "SkipLayerNormalization", "SimplifiedLayerNormalization", "InstanceNormalization",
    "BatchNormalization", "GroupNorm", "LRN", "Transpose", "Concat", "Split", "Slice", "Gather", "Pad",
    "Expand", "Tile", "Resize", "Upsample", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool",
    "ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2", "ReorderInput", "ReorderOutput", "QuantizeLinear",
    "DequantizeLinear", "QLinearAdd", "QLinearMul", "QLinearConcat", "QLinearSigmoid", "QLinearLeakyRelu",
    "QLinearGlobalAveragePool", "QLinearAveragePool", "Reshape", "Flatten", "Squeeze", "Unsqueeze",
    "Identity", "DepthToSpace", "SpaceToDepth", "Cast", "Where", "NhwcMaxPool", "QLinearSoftmax", "Exp",
)  # fmt: skip
"""The place of an operation is its feature `kind`: new ones go to the end."""


def moving(kernel: Kernel) -> KernelWork:
    """The work of any kernel that is neither a convolution nor a matrix product."""
    attributes, op = kernel.attributes, kernel.op
    inputs = [_shape_of(a, op) for a in present(kernel) if a.shape or a.role == "activation" or op in _BINARY]
    x = inputs[0] if inputs else []
    y = list(kernel.outputs[0].shape) if kernel.outputs else []
    largest = max(inputs, key=math.prod, default=x)
    axis = _axis(kernel, x, y, largest)
    in_order = range(len(x))
    # A Transpose without `perm` turns the axes round (ONNX operators, Transpose).
    perm = attributes.get("perm") or list(reversed(in_order) if op == "Transpose" else in_order)
    smallest = min(map(math.prod, inputs), default=1)
    area = math.prod(attributes.get("kernel_shape") or [1])
    crowding = _crowding(kernel, x, y)
    specific = MemoryFeatures(
        kind=_OPS.index(op) + 0.5 * (kernel.domain == BLOCKED) if op in _OPS else -1,
        bytes_each=bytes_each(kernel),
        rank=len(y),
        n_inputs=len(inputs),
        n_outputs=len(kernel.outputs),
        inner=largest[-1] if largest else 1,
        axis_size=largest[axis] if largest else 1,
        axis_inner=math.prod(largest[axis + 1 :]),
        unit=_unit(x, perm),
        broadcast=smallest / max(math.prod(largest), 1),
        log_elements=log1(max(math.prod(x), math.prod(y))),
        pool_area=area,
        stride=max(attributes.get("strides") or [1]),
        rows=math.prod(largest[:axis]),
        last_in=x[-1] if x else 1,
        last_in_two=_two(x),
        last_out_two=_two(y),
        log_crowding=log1(crowding),
    )
    crowded = crowding > _PLACES
    units = math.prod(x) if crowded else _stretches(op.removeprefix("QLinear"), inputs, y, axis, perm)
    per_output = 4 if attributes.get("mode") == "linear" else area
    executed = math.prod(y) * per_output if op in _LOOPS else 0
    return KernelWork(
        kind=_kind(kernel, x, y, perm),
        macs=0.0,
        executed=float(executed),
        units=float(units),
        specific=specific,
    )


_BINARY = frozenset(("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Mod", "PRelu", "Where"))
"""A single number costs them the same with and without an axis."""


def _shape_of(argument: Argument, op: str) -> list[int]:
    single = argument.role == "weight" and not argument.shape and op in _BINARY
    return [1] if single else list(argument.shape)


_LOOPS = frozenset(
    ("MaxPool", "AveragePool", "NhwcMaxPool", "QLinearAveragePool", "LpPool", "Resize", "Upsample")
)
"""They visit several inputs per output."""


_MULTIPLIED = ([2], [3])
"""Exponents, of one number, for which onnxruntime multiplies; all others, and tensors of them, call `pow`.

1 x 32 x 64 x 64 floats took 0.05 ms with exponent 2, 0.06 with 3, 0.58 with 0.5, 1, 1.5, 4 and -1 (EPYC)."""


def _steps_inside(kernel: Kernel, x: Sequence[int]) -> bool:
    """Whether a Slice leaves elements out of rows, or turns rows round: 3 to 6 times as long as pieces."""
    steps = kernel.attributes.get("steps", [])
    axes = kernel.attributes.get("axes", range(len(steps)))
    return any(step != 1 and axis in (-1, len(x) - 1) for axis, step in zip(axes, steps, strict=False))


def _kind(kernel: Kernel, x: Sequence[int], y: Sequence[int], perm: Sequence[int]) -> str:
    op = kernel.op
    name = ("blocked " if kernel.domain == BLOCKED and "Reorder" not in op else "") + op
    if op == "Transpose":
        name += f" {_transposition(x, perm)}"
    if op == "Pow" and kernel.attributes.get("exponent") in _MULTIPLIED:
        name += " 2, 3"
    if op == "Slice" and _steps_inside(kernel, x):
        name += " by element"
    if op.startswith("Reduce") and x:
        outer, inner = _beside(x, _gone(x, y))
        # Five times as long per element as along the last axis, unless there is a batch of such reductions.
        name += "" if inner == 1 else " strided" if outer == 1 else " strided, batched"
    quantises = "QLinear" in op or op in ("QuantizeLinear", "DequantizeLinear")
    return name if quantises or op in FREE or bytes_each(kernel) != 1 else f"int8 {name}"


def _transposition(x: Sequence[int], perm: Sequence[int]) -> str:
    """The way that it goes (onnxruntime, `transpose.cc`): a copy, one axis moved, pieces or elements."""
    if len(x) != len(perm):  # the runtime says nothing of the shape, as in a branch
        return "copied"
    wide = [axis for axis in perm if x[axis] != 1]
    if wide == sorted(wide):
        return "copied"
    rows = perm[-1] == len(perm) - 1
    if any([a for a in perm if a != axis] == sorted(a for a in perm if a != axis) for axis in perm):
        return "of rows" if rows else "of one axis"
    return "in pieces" if rows else "by element"


def _two(shape: Sequence[int]) -> int:
    """The power of two in the last axis: rows that far apart meet in the same lines of a cache."""
    return math.gcd(shape[-1], 1024) if shape and shape[-1] else 1


def _axis(kernel: Kernel, x: list[int], y: list[int], largest: list[int]) -> int:
    """The axis of the largest input that an operation goes along, the last where that has no such axis."""
    reduced = _gone(x, y) if kernel.op.startswith("Reduce") and x else None
    axes = reduced or kernel.attributes.get("axes") or kernel.attributes.get("axis", -1)
    # Of several, the first.
    axis = axes[0] if isinstance(axes, list) else int(axes)
    axis = axis if -len(largest) <= axis < len(largest) else -1
    return axis % max(len(largest), 1)


def _stretches(op: str, inputs: list[list[int]], y: list[int], axis: int, perm: Sequence[int]) -> int:
    """How many stretches of memory an operation goes through one by one."""
    x = inputs[0] if inputs else []
    if op == "Transpose":
        return math.prod(x) // max(_unit(x, perm), 1)
    if op in ("Concat", "Split"):
        return math.prod(y[:axis]) * max(len(inputs), 2)
    if op in ("Expand", "Pad", "Slice", "Gather", "Tile", "Resize", "Upsample"):
        return math.prod(y[:-1])
    if op.startswith("Reduce"):
        return _reduced(x, _gone(x, y))
    if op in _ROWWISE:
        return math.prod(x[:axis])
    return max(math.prod(y), 1) // max(_span([s for s in inputs if math.prod(s) > 1], y), 1)


def _reduced(x: Sequence[int], gone: Sequence[int]) -> int:
    """Stretches of a reduction: whole rows where the last axis goes, else what lies behind it."""
    outer, inner = _beside(x, gone)
    return outer if inner == 1 else math.prod(x) // max(inner, 1)


def _beside(x: Sequence[int], gone: Sequence[int]) -> tuple[int, int]:
    """Elements before and behind the axes that go."""
    return math.prod(x[: gone[0]]), math.prod(x[gone[-1] + 1 :])


_PERIOD_BYTES, _PLACES = 65536, 32
"""Rows a multiple of this apart share a line of any cache up to 2 MB; so many of them stay in the largest."""


def _crowding(kernel: Kernel, x: Sequence[int], y: Sequence[int]) -> float:
    """Rows of a reduction of columns per place that a cache has for rows so far apart; 0 for all else.

    Columns of 128 floats over 75 x 75 rows take 5 ns an element, of 120 floats 0.7 ns (2 MB, 16 ways).
    """
    if not (kernel.op.startswith("Reduce") and x):
        return 0.0
    outer, inner = _beside(x, _gone(x, y))
    if outer > 1 or inner == 1:
        return 0.0
    return math.prod(x) / max(inner, 1) * math.gcd(inner * bytes_each(kernel), _PERIOD_BYTES) / _PERIOD_BYTES


def _gone(x: Sequence[int], y: Sequence[int]) -> list[int]:
    """The axes of `x` that a reduction to `y` goes along, from the shapes: axes may come as an input."""
    if len(x) == len(y):
        return [i for i, size in enumerate(x) if size != y[i]] or [len(x) - 1]
    axes, at = [], 0
    for i, size in enumerate(x):
        if at < len(y) and size == y[at]:
            at += 1
        else:
            axes.append(i)
    return axes or [len(x) - 1]


def _span(inputs: list[list[int]], y: list[int]) -> int:
    """Elements of the last axes along which each input either goes on everywhere or repeats everywhere."""
    span, before = 1, None
    for i in range(1, len(y) + 1):
        if y[-i] == 1:
            continue
        repeats = [i > len(shape) or shape[-i] == 1 for shape in inputs]
        if before is not None and repeats != before:
            break
        span, before = span * y[-i], repeats
    return span


_ROWWISE = frozenset((
    "Softmax", "LayerNormalization", "SkipLayerNormalization", "SimplifiedLayerNormalization",
    "InstanceNormalization", "GroupNorm", "LRN",
))  # fmt: skip


def _unit(shape: Sequence[int], perm: Sequence[int]) -> int:
    """Elements that a transposition keeps together: the product of the last axes that stay."""
    n, i = 1, len(perm) - 1
    while 0 <= i < len(shape) and perm[i] == i:
        n, i = n * shape[i], i - 1
    return n
