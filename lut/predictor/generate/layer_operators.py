"""Operators that are layers of networks: convolutions, pooling, norms, products, recurrence, quantisation.

A new one is a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod, sqrt
from random import Random

from .graph import GraphBuilder, Value
from .operator_rows import ANY, AXES, MAPS, OperatorBuilder, OperatorRow, unary


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


LAYER_OPERATORS: Mapping[str, OperatorRow] = {
    **{op: OperatorRow(MAPS, _convolution(op)) for op in ("Conv", "ConvTranspose")},
    **{op: OperatorRow(MAPS, _pooling(op)) for op in ("MaxPool", "AveragePool", "LpPool")},
    **{op: OperatorRow(MAPS, _global(op)) for op in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")},
    "BatchNormalization": OperatorRow((2, 3, 4, 5), _batch_norm),
    "InstanceNormalization": OperatorRow(MAPS, _instance_norm),
    "LayerNormalization": OperatorRow(AXES[1:], _layer_norm),
    "MeanVarianceNormalization": OperatorRow((4,), unary("MeanVarianceNormalization")),
    "LRN": OperatorRow((4,), _lrn),
    "MatMul": OperatorRow(AXES, _matmul),
    "Gemm": OperatorRow((2,), _gemm),
    "Einsum": OperatorRow((3,), _einsum),
    **{op: OperatorRow((3,), _recurrent(op, gates)) for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1))},
    "QuantizeLinear": OperatorRow(ANY, _quantised),
    "DynamicQuantizeLinear": OperatorRow(AXES, _dynamic_quantised),
}
