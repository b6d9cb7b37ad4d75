"""What a kernel is, as numbers: work, traffic and shape, the same for every device.

A kernel arrives as `profilers.kernels.describe` tells it. Its *kind* is the unit of coverage ("blocked conv
3x3"), its *family* decides which features it has: convolutions, matrix products, and all that only moves
data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from profilers.kernels import argument_bytes

from .int8 import Window, conv_work, product_work

_BLOCKED = "com.microsoft.nchwc"
_CONVOLUTIONS = frozenset(
    ("Conv", "FusedConv", "QLinearConv", "ConvInteger", "ConvTranspose", "NhwcFusedConv", "NhwcConv")
)
_PRODUCTS = frozenset(
    [
        *("Gemm", "MatMul", "FusedMatMul", "FusedGemm", "QGemm", "QLinearMatMul", "MatMulInteger"),
        *("MatMulIntegerToFloat", "DynamicQuantizeMatMul"),
    ]
)
FREE = frozenset(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Shape", "Constant"))
"""They rename a buffer; what they cost is the call."""

ACTIVATIONS = (
    "",
    "Relu",
    "Clip",
    "HardSwish",
    "HardSigmoid",
    "Sigmoid",
    "Tanh",
    "LeakyRelu",
    "Gelu",
    "QuickGelu",
)


@dataclass(frozen=True, slots=True)
class Kernel:
    """kind: the unit of coverage. family: `conv`, `matmul` or `memory`. values: the family's features.

    executed: MACs as they are executed, on whole tiles. units: how often the innermost loop starts: stretches
    of memory that are worked on as one. scratch_bytes: of memory that one image needs in between.
    """

    kind: str
    family: str
    macs: float
    executed: float
    read_bytes: float
    write_bytes: float
    weight_bytes: float
    units: float
    scratch_bytes: float
    values: tuple[float, ...]

    @property
    def terms(self) -> tuple[float, ...]:
        """What a roofline may be made of: a call, what is executed, what is moved and how often."""
        return (
            *(1.0, self.executed, self.read_bytes, self.write_bytes, self.weight_bytes, self.units),
            self.scratch_bytes,
        )


def kernels_of(described: Sequence[Mapping[str, Any]]) -> list[Kernel]:
    """The kernels of a network in order of execution, with what lies around them."""
    traffic = [_traffic(one) for one in described]
    weights = sum(t[2] for t in traffic)
    total = sum(sum(t) for t in traffic)
    largest = max((t[0] + t[1] for t in traffic), default=0.0)
    written: dict[str, int] = {}
    so_far = [0.0]
    for t in traffic:
        so_far.append(so_far[-1] + sum(t))
    found = []
    for i, (one, t) in enumerate(zip(described, traffic, strict=True)):
        # Bytes that passed through the caches since the first input was written; all of them for the image.
        reads = [n for n in one.get("reads", ()) if n in written]
        since = so_far[i] - so_far[written[reads[0]] + 1] if reads else total
        around = (_log(weights), _log(total), _log(largest), _log(since), _log(_previous(traffic, i)))
        found.append(_kernel(one, t, around))
        for name in one.get("writes", ()):
            written[name] = i
    return found


def _previous(traffic: Sequence[tuple[float, float, float]], i: int) -> float:
    return sum(traffic[i - 1]) if i else 0.0


def _traffic(one: Mapping[str, Any]) -> tuple[float, float, float]:
    """(bytes of activations read, written, bytes of weights)."""
    if one["op"] in FREE:
        return 0.0, 0.0, 0.0
    read = sum(argument_bytes(a) for a in one["inputs"] if a[0] == "activation")
    weight = sum(argument_bytes(a) for a in one["inputs"] if a[0] == "weight")
    return float(read), float(sum(argument_bytes(a) for a in one["outputs"])), float(weight)


def _kernel(one: Mapping[str, Any], traffic: tuple[float, float, float], around: tuple[float, ...]) -> Kernel:
    family, found = "memory", None
    if one["op"] in _CONVOLUTIONS:
        family, found = "conv", _conv(one)
    elif one["op"] in _PRODUCTS:
        family, found = "matmul", _matmul(one)
    if found is None:  # of a form that its family has no numbers for, as a convolution of five axes
        family, found = "memory", _memory(one)
    macs, log_traffic = found.macs, [_log(t) for t in traffic]
    size = (
        *(_log(macs), *log_traffic, math.log((macs + 1) / (sum(traffic) + 1)), _log(found.units)),
        *(math.log((found.executed + 1) / (macs + 1)), _log(found.scratch_bytes)),
    )
    return Kernel(
        *(found.kind, family, macs, found.executed, *traffic, found.units, found.scratch_bytes),
        (*map(float, found.values), *size, *around),
    )


SIZE_NAMES = (
    *("log_macs", "log_read", "log_write", "log_weight", "log_intensity", "log_units", "log_padding"),
    "log_scratch",
)
AROUND_NAMES = ("log_net_weights", "log_net_bytes", "log_net_largest", "log_since_written", "log_previous")

CONV_NAMES = (
    *("blocked", "channels_last", "bytes_each", "transposed", "batch", "c_in", "c_out", "groups", "group_in"),
    *("group_out", "kernel_h", "kernel_w", "stride", "dilation", "h_out", "w_out", "pixels_out", "w_in"),
    *("in_rest_16", "out_rest_16", "w_rest_6", "has_sum", "activation", "depthwise", "padded"),
)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a family says of a kernel; see Kernel."""

    kind: str
    macs: float
    executed: float
    units: float
    values: tuple[float, ...]
    scratch_bytes: float = 0.0


def _conv(one: Mapping[str, Any]) -> _Found | None:
    x, y = one["inputs"][0][2], one["outputs"][0][2] if one["outputs"] else []
    w = next((a[2] for a in one["inputs"][1:] if a[0] == "weight" and len(a[2]) >= 3), None)
    if w is None or len(x) != len(w) or len(y) != len(w) or len(x) > 4:
        return None
    attributes, op = one["attributes"], one["op"]
    last = "Nhwc" in op or bool(attributes.get("channels_last"))
    (b, c_in, h_in, w_in), (_, c_out, h_out, w_out) = _nchw(x, last), _nchw(y, last)
    groups = int(attributes.get("group", 1))
    kernel_h, kernel_w = (1, *w[2:])[-2:]
    transposed = op == "ConvTranspose"
    per_group = c_in // max(groups, 1)
    pixels = h_in * w_in if transposed else h_out * w_out
    macs = float(b * pixels * per_group * kernel_h * kernel_w * (c_out // (groups if transposed else 1)))
    blocked = one["domain"] == _BLOCKED
    depthwise = groups > 1 and per_group == 1 and c_out == groups
    strides = attributes.get("strides") or [1]
    activation = str(attributes.get("activation", ""))
    each = _bytes_each(one)
    values = (
        *(blocked, last, each, transposed, b, c_in, c_out, groups, per_group, c_out / max(groups, 1)),
        *(kernel_h, kernel_w, max(strides), max(attributes.get("dilations") or [1]), h_out, w_out),
        *(_log(pixels), w_in, c_in % 16, c_out % 16, w_out % 6, len(_given(one)) > 3 and each == 4),
        *(ACTIVATIONS.index(activation) if activation in ACTIVATIONS else -1, depthwise),
        max(attributes.get("pads") or [0]),
    )
    size = "1x1" if kernel_h * kernel_w == 1 else "3x3" if (kernel_h, kernel_w) == (3, 3) else "large"
    # A depthwise 1x1 is what scales and norms become; a stem has too few input channels to fill a vector.
    shape = f"depthwise {size}" if depthwise else "grouped" if groups > 1 else "stem" if c_in < 4 else size
    if each == 1:
        moves = max(strides) > 1 or any(attributes.get("pads") or [0])
        window = Window(kernel_h, kernel_w, max(attributes.get("dilations") or [1]), moves)
        work = conv_work(h_out * w_out, groups, per_group, c_out // groups, window)
        shape += "" if shape in ("grouped", "stem") or work.way == "fused" else f" {work.way}"
        return _Found(f"int8 {op} {shape}", macs, b * work.macs, b * work.gathers, values, work.scratch_bytes)
    if groups > 1 and not depthwise and not blocked:
        # A small matrix product per group and pixel: rows too short to fill vectors.
        units = b * pixels * groups
    else:
        # Rows of output times groups of four blocks of output channels and blocks of input channels.
        units = b * h_out * (1 if depthwise else groups * -(-c_out // groups // 64) * -(-per_group // 16))
    name = f"{'blocked' if blocked else 'plain'} {op.removeprefix('Fused')} {shape}"
    return _Found(name, macs, macs, float(units), values)


def _nchw(shape: Sequence[int], last: bool) -> tuple[int, int, int, int]:
    if len(shape) == 3:
        shape = [shape[0], shape[1], 1, shape[2]]
    b, c, h, w = (shape[0], shape[3], shape[1], shape[2]) if last else shape
    return int(b), int(c), int(h), int(w)


MATMUL_NAMES = (
    *("bytes_each", "batch", "m", "n", "k", "b_is_weight", "trans_a", "trans_b", "op", "activation"),
    *("log_m", "log_n", "log_k", "n_rest_16", "m_rest_6"),
)


def _matmul(one: Mapping[str, Any]) -> _Found | None:
    a, y = one["inputs"][0][2], one["outputs"][0][2] if one["outputs"] else []
    if not a or not y:
        return None
    attributes = one["attributes"]
    trans_a, trans_b = int(attributes.get("transA", 0)), int(attributes.get("transB", 0))
    b_argument = next((x for x in one["inputs"][1:] if len(x[2]) >= 2), None)
    if b_argument is None:
        return None
    n = y[-1]
    k = a[-2] if trans_a and len(a) > 1 else a[-1]
    rows = math.prod(y[:-1])
    batch = 1 if len(b_argument[2]) == 2 else math.prod(y[:-2])
    m = rows // max(batch, 1)
    weight = b_argument[0] == "weight"
    macs = float(rows * n * k)
    activation = str(attributes.get("activation", ""))
    values = (
        *(_bytes_each(one), batch, m, n, k, weight, trans_a, trans_b, sorted(_PRODUCTS).index(one["op"])),
        *(ACTIVATIONS.index(activation) if activation in ACTIVATIONS else -1,),
        *(_log(m), _log(n), _log(k), n % 16, m % 6),
    )
    form = "vector" if m == 1 and batch == 1 else "weights" if weight else "batched"
    if _bytes_each(one) == 1:
        work = product_work(batch, m, n, k)
        return _Found(f"int8 matmul {form}", macs, work.macs, work.gathers, values, work.scratch_bytes)
    return _Found(f"matmul {form}", macs, macs, float(batch), values)


MEMORY_NAMES = (
    *("kind", "bytes_each", "rank", "n_inputs", "n_outputs", "inner", "axis_size", "axis_inner", "unit"),
    *("broadcast", "log_elements", "pool_area", "stride", "rows", "last_in", "last_in_two", "last_out_two"),
)

_OPS = (
    *(
        "Add",
        "Mul",
        "Sub",
        "Div",
        "Pow",
        "Sqrt",
        "Erf",
        "Relu",
        "Clip",
        "Sigmoid",
        "HardSigmoid",
        "HardSwish",
    ),
    *("Tanh", "LeakyRelu", "PRelu", "Elu", "Gelu", "FastGelu", "QuickGelu", "BiasGelu", "Softmax"),
    *(
        "LayerNormalization",
        "SkipLayerNormalization",
        "SimplifiedLayerNormalization",
        "InstanceNormalization",
    ),
    *("BatchNormalization", "GroupNorm", "LRN", "Transpose", "Concat", "Split", "Slice", "Gather", "Pad"),
    *("Expand", "Tile", "Resize", "Upsample", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"),
    *("ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2", "ReorderInput", "ReorderOutput", "QuantizeLinear"),
    *("DequantizeLinear", "QLinearAdd", "QLinearMul", "QLinearConcat", "QLinearSigmoid", "QLinearLeakyRelu"),
    *("QLinearGlobalAveragePool", "QLinearAveragePool", "Reshape", "Flatten", "Squeeze", "Unsqueeze"),
    *("Identity", "DepthToSpace", "SpaceToDepth", "Cast", "Where", "NhwcMaxPool", "QLinearSoftmax", "Exp"),
)


def _memory(one: Mapping[str, Any]) -> _Found:
    attributes, op = one["attributes"], str(one["op"])
    given = [a for a in _given(one) if a[2] or a[0] == "activation"]
    x = list(given[0][2]) if given else []
    y = list(one["outputs"][0][2]) if one["outputs"] else []
    largest = max((list(a[2]) for a in given), key=math.prod, default=x)
    axis = _axis(one, x, y, largest)
    perm = attributes.get("perm") or list(range(len(x)))
    smallest = min((math.prod(a[2]) for a in given), default=1)
    area = math.prod(attributes.get("kernel_shape") or [1])
    elements = max(math.prod(x), math.prod(y))
    blocked = one["domain"] == _BLOCKED
    values = (
        *(_OPS.index(op) + 0.5 * blocked if op in _OPS else -1, _bytes_each(one), len(y), len(given)),
        *(len(one["outputs"]), largest[-1] if largest else 1, largest[axis] if largest else 1),
        *(math.prod(largest[axis + 1 :]), _unit(x, perm), smallest / max(math.prod(largest), 1)),
        *(_log(elements), area, max(attributes.get("strides") or [1]), math.prod(largest[:axis])),
        *(x[-1] if x else 1, _two(x), _two(y)),
    )
    units = _stretches(op, [list(a[2]) for a in given], y, axis, perm)
    per_output = 4 if attributes.get("mode") == "linear" else area
    executed = math.prod(y) * per_output if op in _LOOPS else 0
    return _Found(_memory_kind(one, x, y, perm), 0.0, float(executed), float(units), values)


_LOOPS = frozenset(
    [
        *("MaxPool", "AveragePool", "NhwcMaxPool", "QLinearAveragePool", "LpPool", "Resize", "Upsample"),
    ]
)
"""They visit several inputs per output."""


def _memory_kind(one: Mapping[str, Any], x: Sequence[int], y: Sequence[int], perm: Sequence[int]) -> str:
    op = str(one["op"])
    name = ("blocked " if one["domain"] == _BLOCKED and "Reorder" not in op else "") + op
    if op == "Transpose":
        name += f" {_transposition(x, perm)}"
    if op.startswith("Reduce") and x and math.prod(x[_gone(x, y)[-1] + 1 :]) > 1:
        name += " strided"  # five times as long per element as along the last axis
    quantises = "QLinear" in op or op in ("QuantizeLinear", "DequantizeLinear")
    return name if quantises or op in FREE or _bytes_each(one) != 1 else f"int8 {name}"


def _transposition(x: Sequence[int], perm: Sequence[int]) -> str:
    """The way that it goes (onnxruntime, `transpose.cc`): a copy, one axis moved, pieces, or elements."""
    wide = [axis for axis in perm if x[axis] != 1]
    if wide == sorted(wide):
        return "copied"
    if any([a for a in perm if a != axis] == sorted(a for a in perm if a != axis) for axis in perm):
        return "of one axis"
    return "in pieces" if perm[-1] == len(perm) - 1 else "by element"


def _two(shape: Sequence[int]) -> int:
    """The power of two in the last axis: rows that far apart meet in the same lines of a cache."""
    return math.gcd(shape[-1], 1024) if shape and shape[-1] else 1


def _axis(one: Mapping[str, Any], x: list[int], y: list[int], largest: list[int]) -> int:
    """The axis that an operation goes along; the first of several."""
    if one["op"].startswith("Reduce") and x:
        return _gone(x, y)[0]
    axes = one["attributes"].get("axes") or one["attributes"].get("axis", -1)
    axis = (axes[0] if axes else -1) if isinstance(axes, list) else int(axes)
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
        return _reduced(x, y)
    if op in _ROWWISE:
        return math.prod(x[:axis])
    return max(math.prod(y), 1) // _span([s for s in inputs if math.prod(s) > 1], y)


def _reduced(x: list[int], y: list[int]) -> int:
    """Stretches of a reduction: whole rows where the last axis goes, else what lies behind it."""
    gone = _gone(x, y)
    inner = math.prod(x[gone[-1] + 1 :])
    return math.prod(x[: gone[0]]) if inner == 1 else math.prod(x) // inner


def _gone(x: list[int], y: list[int]) -> list[int]:
    """The axes of `x` that a reduction to `y` goes along, from the shapes: axes may come as an input."""
    if len(x) == len(y):
        return [i for i, size in enumerate(x) if size != y[i]] or [len(x) - 1]
    found, at = [], 0
    for i, size in enumerate(x):
        if at < len(y) and size == y[at]:
            at += 1
        else:
            found.append(i)
    return found or [len(x) - 1]


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


_ROWWISE = frozenset(
    [
        *("Softmax", "LayerNormalization", "SkipLayerNormalization", "SimplifiedLayerNormalization"),
        *("InstanceNormalization", "GroupNorm", "LRN"),
    ]
)


def _unit(shape: Sequence[int], perm: Sequence[int]) -> int:
    """Elements that a transposition keeps together: the product of the last axes that stay."""
    n, i = 1, len(perm) - 1
    while 0 <= i < len(shape) and perm[i] == i:
        n, i = n * shape[i], i - 1
    return n


def _given(one: Mapping[str, Any]) -> list[Any]:
    return [a for a in one["inputs"] if a[0] != "none"]


def _bytes_each(one: Mapping[str, Any]) -> int:
    """Bytes of an element of the first input (of the output where it is smaller, as int8 from float)."""
    kinds = [a[1] for a in [*one["inputs"][:1], *one["outputs"][:1]]]
    return min((_BYTES.get(kind, 4) for kind in kinds), default=4)


_BYTES = {"uint8": 1, "int8": 1, "bool": 1, "float16": 2, "float": 4, "int32": 4, "int64": 8, "double": 8}

NAMES: Mapping[str, tuple[str, ...]] = {
    "conv": (*CONV_NAMES, *SIZE_NAMES, *AROUND_NAMES),
    "matmul": (*MATMUL_NAMES, *SIZE_NAMES, *AROUND_NAMES),
    "memory": (*MEMORY_NAMES, *SIZE_NAMES, *AROUND_NAMES),
}
"""The features of each family, in the order of `Kernel.values`."""


def _log(value: float) -> float:
    return math.log(value + 1)
