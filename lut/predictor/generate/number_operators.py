"""Operators on the numbers of a tensor: element by element, along an axis, over axes. A new one is a row."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from .graph import GraphBuilder, Value
from .operator_rows import ANY, AXES, OperatorBuilder, OperatorRow, integers, unary


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


def _power(*exponents: float) -> OperatorBuilder:
    def build(g: GraphBuilder, x: Value, rng: Random) -> Value:
        return g.node("Pow", [x, g.constant(rng.choice(exponents))], x.shape)

    return build


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


def _cast(g: GraphBuilder, x: Value, rng: Random) -> Value:
    wide = g.node("Cast", [x], x.shape, to=rng.choice((6, 7, 9, 10, 11, 2, 3)))
    return g.node("Cast", [wide], x.shape, to=1)


def _whole(op: str) -> OperatorBuilder:
    """Arithmetic of whole numbers."""

    def build(g: GraphBuilder, x: Value, rng: Random) -> Value:
        kind = rng.choice((6, 7))
        numbers = integers(g, x, 100.0, kind)
        extra = {"fmod": 0} if op == "Mod" else {}
        others = g.node("Cast", [g.node("Ceil", [_broadcast(g, x, rng)], x.shape)], x.shape, to=kind)
        return g.node(op, [numbers, others], x.shape, **extra)

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

NUMBER_OPERATORS: Mapping[str, OperatorRow] = {
    **{op: OperatorRow(ANY, unary(op)) for op in _SAME},
    **{
        op: OperatorRow(ANY, _binary(op))
        for op in ("Add", "Sub", "Mul", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
    },
    "PRelu": OperatorRow(AXES, lambda g, x, rng: g.node("PRelu", [x, _broadcast(g, x, rng)], x.shape)),
    # Two rows for exponents that are multiplied out and two for the others: a kind needs its samples.
    "Pow 2": OperatorRow(ANY, _power(2.0)),
    "Pow 3": OperatorRow(ANY, _power(3.0)),
    "Pow 0.5": OperatorRow(ANY, _power(0.5, -0.5, 1.7)),
    "Pow": OperatorRow(ANY, _binary("Pow")),
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
}
