"""The table of operators that are met on their own. A new operator is one row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod, sqrt
from random import Random
from typing import Any

from .graph import GraphBuilder, Value

OperatorBuilder = Callable[[GraphBuilder, Value, Random], Value]

ANY = (0, 1, 2, 3, 4, 4, 5)
AXES = (1, 2, 3, 4, 4, 5)
MAPS = (3, 4, 4, 5)


@dataclass(frozen=True, slots=True)
class OperatorRow:
    """An operator: the ranks of its first input, and what adds it to a graph."""

    ranks: tuple[int, ...]
    build: OperatorBuilder


def _unary(op: str, **attributes: Any) -> OperatorBuilder:
    return lambda g, x, rng: g.node(op, [x], x.shape, **attributes)


def _along(op: str) -> OperatorBuilder:
    """Of one axis, mostly the last; the shape stays."""

    def build(g: GraphBuilder, x: Value, rng: Random) -> Value:
        axis = len(x.shape) - 1 if rng.random() < 0.5 else rng.randrange(len(x.shape))
        if op == "CumSum":
            return g.node(op, [x, g.constant(axis, "int64")], x.shape)
        return g.node(op, [x], x.shape, axis=axis)

    return build


def _broadcast(g: GraphBuilder, x: Value, rng: Random) -> Value:
    """A second operand: of the same shape, a number of rank 0 or 1, or along some of the axes."""
    way = rng.random()
    if way < 0.2 or not x.shape:
        return x if rng.random() < 0.5 else g.weight(x.shape, 0.1, 0.6)
    if way < 0.4:
        return g.weight(rng.choice(((), (1,), (1,) * len(x.shape))), 0.1, 0.6)
    if way < 0.55:
        return g.weight(x.shape[-1:], 0.1, 0.6)
    if way < 0.7 and len(x.shape) > 2:
        return g.weight((x.shape[1], *(1 for _ in x.shape[2:])), 0.1, 0.6)
    kept = [side if rng.random() < 0.5 else 1 for side in x.shape]
    if rng.random() < 0.5:
        return g.weight(kept, 0.1, 0.6)
    gone = [i for i, side in enumerate(kept) if side != x.shape[i]]
    return g.node("ReduceMax", [x], kept, axes=gone, keepdims=1) if gone else x


def _binary(op: str, **attributes: Any) -> OperatorBuilder:
    def build(g: GraphBuilder, x: Value, rng: Random) -> Value:
        other = _broadcast(g, x, rng)
        pair = [x, other] if rng.random() < 0.7 else [other, x]
        return g.node(op, pair, x.shape, **attributes)

    return build


def _power(g: GraphBuilder, x: Value, rng: Random) -> Value:
    exponent = rng.choice((2.0, 2.0, 3.0, 0.5, -0.5, 1.7, None))
    other = _broadcast(g, x, rng) if exponent is None else g.constant(exponent)
    return g.node("Pow", [x, other], x.shape)


def _several(op: str) -> OperatorBuilder:
    def build(g: GraphBuilder, x: Value, rng: Random) -> Value:
        return g.node(op, [x, *(_broadcast(g, x, rng) for _ in range(rng.randint(1, 4)))], x.shape)

    return build


def _reduced(op: str) -> OperatorBuilder:
    def build(g: GraphBuilder, x: Value, rng: Random) -> Value:
        rank = len(x.shape)
        some = rng.sample(range(rank), rng.randint(1, rank))
        axes = sorted(rng.choice((some, [rank - 1], list(range(rank)), [0], [min(1, rank - 1)])))
        keep = rng.random() < 0.5
        shape = [1 if i in axes else n for i, n in enumerate(x.shape) if keep or i not in axes]
        if op == "ReduceSum":
            return g.node(op, [x, g.constant(axes)], shape, keepdims=int(keep))
        return g.node(op, [x], shape, axes=axes, keepdims=int(keep))

    return build


def _best(op: str) -> OperatorBuilder:
    def build(g: GraphBuilder, x: Value, rng: Random) -> Value:
        axis = rng.randrange(len(x.shape))
        shape = [1 if i == axis else n for i, n in enumerate(x.shape)]
        return g.node(op, [x], shape, axis=axis, keepdims=1)

    return build


def _top_k(g: GraphBuilder, x: Value, rng: Random) -> Value:
    axis = rng.randrange(len(x.shape))
    k = rng.randint(1, x.shape[axis])
    shape = [k if i == axis else n for i, n in enumerate(x.shape)]
    return g.nodes("TopK", [x, g.constant([k])], [shape, shape], axis=axis)[0]


def _integers(g: GraphBuilder, x: Value, factor: float, kind: int = 7) -> Value:
    """Whole numbers from 0 up to `factor`, not included."""
    scaled = g.node("Mul", [x, g.constant(factor)], x.shape)
    return g.node("Cast", [scaled], x.shape, to=kind)


def _cast(g: GraphBuilder, x: Value, rng: Random) -> Value:
    wide = g.node("Cast", [x], x.shape, to=rng.choice((6, 7, 9, 10, 11, 2, 3)))
    return g.node("Cast", [wide], x.shape, to=1)


def _whole(op: str) -> OperatorBuilder:
    """Arithmetic of whole numbers."""

    def build(g: GraphBuilder, x: Value, rng: Random) -> Value:
        kind = rng.choice((6, 7))
        numbers = _integers(g, x, 100.0, kind)
        extra = {"fmod": 0} if op == "Mod" else {}
        one = g.node("Cast", [g.node("Ceil", [_broadcast(g, x, rng)], x.shape)], x.shape, to=kind)
        return g.node(op, [numbers, one], x.shape, **extra)

    return build


def _bits(op: str) -> OperatorBuilder:
    def build(g: GraphBuilder, x: Value, rng: Random) -> Value:
        flags = g.node("Greater", [x, g.constant(0.5)], x.shape)
        if op == "Not":
            return g.node(op, [flags], x.shape)
        return g.node(op, [flags, g.node("Less", [x, g.constant(0.7)], x.shape)], x.shape)

    return build


def _where(g: GraphBuilder, x: Value, rng: Random) -> Value:
    flags = g.node("Greater", [x, g.constant(0.5)], x.shape)
    return g.node("Where", [flags, x, _broadcast(g, x, rng)], x.shape)


def _transpose(g: GraphBuilder, x: Value, rng: Random) -> Value:
    perm = rng.sample(range(len(x.shape)), len(x.shape))
    return g.node("Transpose", [x], [x.shape[i] for i in perm], perm=perm)


def _concat(g: GraphBuilder, x: Value, rng: Random) -> Value:
    axis = rng.randrange(len(x.shape))
    parts = [x]
    for _ in range(rng.randint(1, 3)):
        side = rng.randint(1, 2 * x.shape[axis])
        shape = [side if i == axis else n for i, n in enumerate(x.shape)]
        parts.append(x if rng.random() < 0.6 else g.weight(shape, 1.0))
    shape = list(x.shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    return g.node("Concat", rng.sample(parts, len(parts)), shape, axis=axis)


def _split(g: GraphBuilder, x: Value, rng: Random) -> Value:
    axis = max(range(len(x.shape)), key=lambda i: x.shape[i])
    sides = [x.shape[axis] // 2, x.shape[axis] - x.shape[axis] // 2]
    if not sides[0]:
        return g.node("Neg", [x], x.shape)
    shapes = [[n if i == axis else m for i, m in enumerate(x.shape)] for n in sides]
    return g.nodes("Split", [x, g.constant(sides)], shapes, axis=axis)[0]


def _slice(g: GraphBuilder, x: Value, rng: Random) -> Value:
    axes = sorted(rng.sample(range(len(x.shape)), rng.randint(1, len(x.shape))))
    starts = [rng.randrange(x.shape[i]) for i in axes]
    steps = [rng.choice((1, 1, 1, 2)) for _ in axes]
    shape = list(x.shape)
    for i, start, step in zip(axes, starts, steps, strict=True):
        shape[i] = -(-(x.shape[i] - start) // step)
    ends = [x.shape[i] for i in axes]
    return g.node("Slice", [x, *map(g.constant, (starts, ends, axes, steps))], shape)


def _gather(g: GraphBuilder, x: Value, rng: Random) -> Value:
    axis, n = rng.randrange(len(x.shape)), rng.choice((1, 2, 8, 64, 300))
    rows = [rng.randrange(x.shape[axis]) for _ in range(n)]
    shape = [n if i == axis else side for i, side in enumerate(x.shape)]
    return g.node("Gather", [x, g.constant(rows)], shape, axis=axis)


def _elements(op: str) -> OperatorBuilder:
    def build(g: GraphBuilder, x: Value, rng: Random) -> Value:
        axis = rng.randrange(len(x.shape))
        places = _integers(g, x, x.shape[axis] * 0.999)
        inputs = [x, places] if op == "GatherElements" else [x, places, x]
        return g.node(op, inputs, x.shape, axis=axis)

    return build


def _points(op: str) -> OperatorBuilder:
    """Rows of the first axis."""

    def build(g: GraphBuilder, x: Value, rng: Random) -> Value:
        n = rng.randint(1, max(1, min(x.shape[0], 64)))
        places = g.constant([[rng.randrange(x.shape[0])] for _ in range(n)])
        if op == "GatherND":
            return g.node(op, [x, places], (n, *x.shape[1:]))
        return g.node(op, [x, places, g.weight((n, *x.shape[1:]), 1.0)], x.shape)

    return build


def _pad(g: GraphBuilder, x: Value, rng: Random) -> Value:
    mode = rng.choice(("constant", "constant", "edge", "reflect"))
    most = [min(3, n - 1) if mode == "reflect" else 3 for n in x.shape]
    before, after = ([rng.randint(0, n) for n in most] for _ in range(2))
    shape = [a + n + b for a, n, b in zip(before, x.shape, after, strict=True)]
    return g.node("Pad", [x, g.constant([*before, *after])], shape, mode=mode)


def _tile(g: GraphBuilder, x: Value, rng: Random) -> Value:
    times = [rng.choice((1, 1, 2, 3)) for _ in x.shape]
    return g.node("Tile", [x, g.constant(times)], [a * b for a, b in zip(times, x.shape, strict=True)])


def _expand(g: GraphBuilder, x: Value, rng: Random) -> Value:
    first = rng.randint(2, 9)
    return g.node("Expand", [x, g.constant([first, *x.shape])], (first, *x.shape))


def _trilu(g: GraphBuilder, x: Value, rng: Random) -> Value:
    return g.node("Trilu", [x], x.shape, upper=rng.randint(0, 1))


def _folds(op: str) -> OperatorBuilder:
    """DepthToSpace and SpaceToDepth, on a map whose sides suit."""

    def build(g: GraphBuilder, x: Value, rng: Random) -> Value:
        b, c, h, w = x.shape
        k = rng.choice((2, 3, 4))
        mode = {"mode": rng.choice(("DCR", "CRD"))} if op == "DepthToSpace" else {}
        tiled = _tiled(g, x, (b, c * k * k, h, w) if mode else (b, c, h * k, w * k))
        shape = (b, c, h * k, w * k) if mode else (b, c * k * k, h, w)
        return g.node(op, [tiled], shape, blocksize=k, **mode)

    return build


def _tiled(g: GraphBuilder, x: Value, shape: Sequence[int]) -> Value:
    times = [a // b for a, b in zip(shape, x.shape, strict=True)]
    return g.node("Tile", [x, g.constant(times)], shape)


def _resize(g: GraphBuilder, x: Value, rng: Random) -> Value:
    mode = rng.choice(("nearest", "nearest", "linear", "cubic"))
    shape = list(x.shape)
    for i in range(2, 4):
        shape[i] = max(1, round(shape[i] * rng.choice((0.5, 1.5, 2, 2, 3))))
    return g.node(
        "Resize",
        [x, "", "", g.constant(shape)],
        shape,
        mode=mode,
        coordinate_transformation_mode=rng.choice(("half_pixel", "asymmetric", "align_corners")),
    )


def _grid_sample(g: GraphBuilder, x: Value, rng: Random) -> Value:
    b, c, h, w = x.shape
    grid = g.weight((b, h, w, 2), 0.5)
    mode = rng.choice(("bilinear", "nearest", "bicubic"))
    return g.node("GridSample", [x, grid], (b, c, h, w), mode=mode)


def _one_hot(g: GraphBuilder, x: Value, rng: Random) -> Value:
    depth = rng.choice((4, 10, 32))
    places = _integers(g, x, depth * 0.999)
    values = g.weight((2,), 1.0)
    return g.node("OneHot", [places, g.constant(depth, "int64"), values], (*x.shape, depth))


def _convolution(op: str) -> OperatorBuilder:
    def build(g: GraphBuilder, x: Value, rng: Random) -> Value:
        b, c, *sides = x.shape
        n = len(sides)
        groups = c if rng.random() < 0.2 else 1
        c_out = c if groups > 1 else rng.choice((1, 2, 4, 8, 12, 16, 24, 32, 48))
        ks = [rng.choice([k for k in (1, 2, 3, 3, 5, 7) if k <= max(side, 1)]) for side in sides]
        strides, pads = [rng.choice((1, 1, 2)) for _ in sides], [rng.choice((0, k // 2)) for k in ks]
        if op == "Conv":
            shape = (c_out, c // groups, *ks)
            out = [(s + 2 * p - k) // t + 1 for s, p, k, t in zip(sides, pads, ks, strides, strict=True)]
            g.macs += b * c_out * prod(out) * prod(shape[1:])
        else:
            pads = [0] * n
            shape = (c, c_out // groups, *ks)
            out = [(s - 1) * t + k for s, k, t in zip(sides, ks, strides, strict=True)]
            g.macs += b * prod(sides) * prod(shape)
        inputs = [x, g.weight(shape, sqrt(1 / prod(shape[1:])))]
        if rng.random() < 0.5:
            inputs.append(g.weight((c_out,), 0.1))
        return g.node(
            op, inputs, (b, c_out, *out), kernel_shape=ks, strides=strides, pads=pads * 2, group=groups
        )

    return build


def _pooling(op: str) -> OperatorBuilder:
    def build(g: GraphBuilder, x: Value, rng: Random) -> Value:
        ks = [rng.choice([k for k in (1, 2, 2, 3, 3, 5) if k <= max(side, 1)]) for side in x.shape[2:]]
        strides = [rng.choice((1, k)) for k in ks]
        out = [(s - k) // t + 1 for s, k, t in zip(x.shape[2:], ks, strides, strict=True)]
        return g.node(op, [x], (*x.shape[:2], *out), kernel_shape=ks, strides=strides)

    return build


def _global(op: str) -> OperatorBuilder:
    return lambda g, x, rng: g.node(op, [x], (*x.shape[:2], *(1 for _ in x.shape[2:])))


def _batch_norm(g: GraphBuilder, x: Value, rng: Random) -> Value:
    rest = [g.weight(x.shape[1:2], 0.02, mean) for mean in (1.0, 0.0, 0.0, 1.0)]
    return g.node("BatchNormalization", [x, *rest], x.shape)


def _instance_norm(g: GraphBuilder, x: Value, rng: Random) -> Value:
    return g.node(
        "InstanceNormalization", [x, g.weight(x.shape[1:2], 0.1), g.weight(x.shape[1:2], 0.1)], x.shape
    )


def _layer_norm(g: GraphBuilder, x: Value, rng: Random) -> Value:
    axis = rng.choice((len(x.shape) - 1, rng.randrange(len(x.shape))))
    return g.node(
        "LayerNormalization",
        [x, g.weight(x.shape[axis:], 0.1), g.weight(x.shape[axis:], 0.1)],
        x.shape,
        axis=axis,
    )


def _lrn(g: GraphBuilder, x: Value, rng: Random) -> Value:
    return g.node("LRN", [x], x.shape, size=rng.choice((3, 5)))


def _matmul(g: GraphBuilder, x: Value, rng: Random) -> Value:
    """Of vectors, matrices and stacks of them, with weights or without, to either side."""
    k, n = x.shape[-1], rng.choice((1, 2, 8, 10, 16, 33, 64, 100))
    if rng.random() < 0.25 and len(x.shape) >= 2:  # something times the transposed
        perm = [*range(len(x.shape) - 2), len(x.shape) - 1, len(x.shape) - 2]
        turned = g.node("Transpose", [x], [x.shape[i] for i in perm], perm=perm)
        g.macs += x.size * x.shape[-2]
        return g.node("MatMul", [x, turned], (*x.shape[:-1], x.shape[-2]))
    if rng.random() < 0.25 and len(x.shape) >= 2:  # weights on the left
        m = rng.choice((1, 2, 8, 16, 33))
        g.macs += m * x.size
        return g.node("MatMul", [g.weight((m, x.shape[-2]), 0.1), x], (*x.shape[:-2], m, k))
    if rng.random() < 0.2:
        g.macs += x.size
        return g.node("MatMul", [x, g.weight((k,), 0.1)], x.shape[:-1])
    g.macs += x.size * n
    return g.node("MatMul", [x, g.weight((k, n), 0.1)], (*x.shape[:-1], n))


def _gemm(g: GraphBuilder, x: Value, rng: Random) -> Value:
    trans_a, trans_b = rng.randint(0, 1), rng.randint(0, 1)
    m, k = x.shape[::-1] if trans_a else x.shape
    n = rng.choice((1, 2, 8, 10, 16, 33, 64, 100, 256))
    inputs = [x, g.weight((n, k) if trans_b else (k, n), 0.1)]
    if rng.random() < 0.7:
        inputs.append(g.weight(rng.choice(((n,), (1, n), (m, 1), (m, n), (1,))), 0.1))
    g.macs += m * n * k
    return g.node("Gemm", inputs, (m, n), transA=trans_a, transB=trans_b, alpha=rng.choice((1.0, 0.5)))


def _einsum(g: GraphBuilder, x: Value, rng: Random) -> Value:
    b, n, k = x.shape
    m = rng.choice((2, 8, 16, 33))
    way = rng.randrange(3)
    g.macs += x.size * m
    if way == 0:
        return g.node("Einsum", [x, g.weight((k, m), 0.1)], (b, n, m), equation="bnk,km->bnm")
    if way == 1:
        return g.node("Einsum", [x, g.weight((b, m, k), 0.1)], (b, n, m), equation="bnk,bmk->bnm")
    return g.node("Einsum", [x], (b, n), equation="bnk->bn")


def _recurrent(op: str, gates: int) -> OperatorBuilder:
    def build(g: GraphBuilder, x: Value, rng: Random) -> Value:
        steps, b, n = x.shape
        hidden = rng.choice((4, 8, 16, 32, 64))
        ways = rng.choice((1, 1, 2))
        inputs = [x, g.weight((ways, gates * hidden, n), 0.1), g.weight((ways, gates * hidden, hidden), 0.1)]
        inputs.append(g.weight((ways, 2 * gates * hidden), 0.1))
        g.macs += ways * steps * b * gates * hidden * (n + hidden)
        direction = "bidirectional" if ways == 2 else rng.choice(("forward", "reverse"))
        shape = (steps, ways, b, hidden)
        return g.node(op, inputs, shape, hidden_size=hidden, direction=direction)

    return build


def _quantised(g: GraphBuilder, x: Value, rng: Random) -> Value:
    inputs = [g.constant(0.01), g.constant(0, "uint8")]
    small = g.node("QuantizeLinear", [x, *inputs], x.shape)
    return g.node("DequantizeLinear", [small, *inputs], x.shape)


def _dynamic_quantised(g: GraphBuilder, x: Value, rng: Random) -> Value:
    return g.nodes("DynamicQuantizeLinear", [x], [x.shape, (), ()])[0]


_SAME = (
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Celu", "Cos", "Cosh", "Elu", "Erf",
    "Exp", "Floor", "HardSigmoid", "HardSwish", "IsInf", "IsNaN", "LeakyRelu", "Log", "Neg", "Reciprocal",
    "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt",
    "Tan", "Tanh", "ThresholdedRelu",
)  # fmt: skip
_REDUCTIONS = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceProd", "ReduceSum", "ReduceSumSquare",
)  # fmt: skip

OPERATORS: Mapping[str, OperatorRow] = {
    **{op: OperatorRow(ANY, _unary(op)) for op in _SAME},
    **{
        op: OperatorRow(ANY, _binary(op))
        for op in ("Add", "Sub", "Mul", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
    },
    "PRelu": OperatorRow(AXES, lambda g, x, rng: g.node("PRelu", [x, _broadcast(g, x, rng)], x.shape)),
    "Pow": OperatorRow(ANY, _power),
    "Mod": OperatorRow(ANY, _binary("Mod", fmod=1)),
    **{op: OperatorRow(ANY, _several(op)) for op in ("Max", "Min", "Mean", "Sum")},
    **{op: OperatorRow(AXES, _reduced(op)) for op in _REDUCTIONS},
    **{op: OperatorRow(AXES, _best(op)) for op in ("ArgMax", "ArgMin")},
    **{
        op: OperatorRow(AXES, _along(op))
        for op in ("Softmax", "LogSoftmax", "Hardmax", "LpNormalization", "CumSum")
    },
    "TopK": OperatorRow(AXES, _top_k),
    "Cast": OperatorRow(ANY, _cast),
    **{f"whole {op}": OperatorRow(ANY, _whole(op)) for op in ("Add", "Mul", "Div", "Mod")},
    **{op: OperatorRow(ANY, _bits(op)) for op in ("And", "Or", "Xor", "Not")},
    "Where": OperatorRow(ANY, _where),
    "Transpose": OperatorRow(AXES[1:], _transpose),
    "Concat": OperatorRow(AXES, _concat),
    "Split": OperatorRow(AXES, _split),
    "Slice": OperatorRow(AXES, _slice),
    "Gather": OperatorRow(AXES, _gather),
    **{op: OperatorRow(AXES, _elements(op)) for op in ("GatherElements", "ScatterElements")},
    **{op: OperatorRow(AXES, _points(op)) for op in ("GatherND", "ScatterND")},
    "Pad": OperatorRow(AXES, _pad),
    "Tile": OperatorRow(AXES, _tile),
    "Expand": OperatorRow(ANY, _expand),
    "Trilu": OperatorRow((2, 3, 4), _trilu),
    **{op: OperatorRow((4,), _folds(op)) for op in ("DepthToSpace", "SpaceToDepth")},
    "Resize": OperatorRow((4,), _resize),
    "GridSample": OperatorRow((4,), _grid_sample),
    "OneHot": OperatorRow((1, 2, 3), _one_hot),
    **{op: OperatorRow(MAPS, _convolution(op)) for op in ("Conv", "ConvTranspose")},
    **{op: OperatorRow(MAPS, _pooling(op)) for op in ("MaxPool", "AveragePool", "LpPool")},
    **{op: OperatorRow(MAPS, _global(op)) for op in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")},
    "BatchNormalization": OperatorRow((2, 3, 4, 5), _batch_norm),
    "InstanceNormalization": OperatorRow(MAPS, _instance_norm),
    "LayerNormalization": OperatorRow(AXES[1:], _layer_norm),
    "MeanVarianceNormalization": OperatorRow((4,), _unary("MeanVarianceNormalization")),
    "LRN": OperatorRow((4,), _lrn),
    "MatMul": OperatorRow(AXES, _matmul),
    "Gemm": OperatorRow((2,), _gemm),
    "Einsum": OperatorRow((3,), _einsum),
    **{op: OperatorRow((3,), _recurrent(op, gates)) for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1))},
    "QuantizeLinear": OperatorRow(ANY, _quantised),
    "DynamicQuantizeLinear": OperatorRow(AXES, _dynamic_quantised),
}
"""By name: each is dealt as often as any other."""
