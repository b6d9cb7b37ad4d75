"""Small networks without images: on a row of a table, on a series of samples, on a few words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import exp, log, prod, sqrt
from random import Random

from .attention import transformer
from .graph import GraphBuilder, Value
from .moves import concat, flatten, transpose
from .ops import act, add, batch_norm, gemm, layer_norm, linear, mul

_MOST_MACS = 2e7
_ACTS = ("relu", "relu", "relu", "gelu", "silu", "tanh", "sigmoid", "elu", "leakyrelu")


def vectors(g: GraphBuilder, rng: Random) -> tuple[Value, Value]:
    """Multilayer perceptrons, some residual, of few to many rows."""
    batch = rng.choice((1, 1, 1, 1, 2, 4, 8, 16, 32))
    wide = exp(rng.uniform(log(16), log(1024)))
    x = y = Value("image", (batch, _near(wide, rng)))
    for _ in range(rng.randint(2, 9)):
        way, name = rng.random(), rng.choice(_ACTS)
        if way < 0.55:
            y = act(g, gemm(g, y, _near(wide, rng)), name)
        elif way < 0.7:
            y = add(g, y, gemm(g, act(g, gemm(g, y, _near(wide, rng)), name), y.shape[1]))
        elif way < 0.8:
            y = act(g, linear(g, y, _near(wide, rng)), name)
        elif way < 0.9:
            y = batch_norm(g, y) if rng.random() < 0.5 else layer_norm(g, y)
        else:
            gate = act(g, gemm(g, y, y.shape[1]), "sigmoid")
            y = mul(g, y, gate) if rng.random() < 0.5 else concat(g, [y, gate])
    return x, gemm(g, y, rng.choice((1, 2, 8, 10, 10, 32, 100, 640)))


def series(g: GraphBuilder, rng: Random) -> tuple[Value, Value]:
    """One-dimensional convolutions, plain, separable, dilated and residual; some end in a dense layer."""
    length = round(exp(rng.uniform(log(32), log(8000))))
    batch = rng.choice((1, 1, 1, 1, 1, 2, 4)) if length < 1000 else 1
    x = Value("image", (batch, rng.choice((1, 1, 2, 3, 6, 9, 12, 16, 40, 64)), length))
    k, c = rng.choice((3, 3, 5, 7, 9, 15)), rng.choice((8, 12, 16, 24, 32, 32, 48, 64))
    stem = rng.choice((k, k, 25, 79)) if length > 1000 else k
    y = _conv(g, x, c, stem, rng.choice((1, 2, 4)) if length < 1000 else 4)
    y = act(g, y, rng.choice(_ACTS))
    for _ in range(rng.randint(2, 7)):
        if g.macs > _MOST_MACS:
            break
        c = min(_near(c * rng.choice((1, 1, 1, 1.5, 2)), rng), 256)
        way, name = rng.random(), rng.choice(_ACTS[:6])
        stride = rng.choice((1, 1, 2, 2, 4)) if y.shape[2] >= 32 else 1
        if way < 0.35:
            y = act(g, _conv(g, y, c, k, stride), name)
        elif way < 0.55:
            y = act(g, _conv(g, y, y.c, k, stride, groups=y.c), name)
            y = act(g, _conv(g, y, c, 1), name)
        elif way < 0.7:
            inner = act(g, _conv(g, y, y.c, k, dilation=rng.choice((1, 2, 4, 8))), name)
            y = act(g, add(g, y, _conv(g, inner, y.c, rng.choice((1, k)))), name)
        elif way < 0.8:
            inner = _conv(g, act(g, _conv(g, y, c, k, stride), name), c, k)
            y = act(g, add(g, inner, _conv(g, y, c, 1, stride)), name)
        elif way < 0.9 and y.shape[2] >= 8:
            y = _pool(g, y, rng.choice(("MaxPool", "AveragePool")), rng.choice((2, 3, 4)))
        else:
            y = batch_norm(g, y)
    if rng.random() < 0.3 and prod(y.shape[1:]) < 5000:
        flat = flatten(g, y)
        flat = act(g, gemm(g, flat, rng.choice((32, 64, 100, 128))), "relu")
    elif rng.random() < 0.5:
        flat = g.node("ReduceMean", [y], y.shape[:2], axes=[2], keepdims=0)
    else:
        flat = flatten(g, g.node("GlobalAveragePool", [y], (*y.shape[:2], 1)))
    return x, gemm(g, flat, rng.choice((2, 5, 6, 10, 12, 35)))


def words(g: GraphBuilder, rng: Random) -> tuple[Value, Value]:
    """A few transformer layers on a short sequence of vectors."""
    n = rng.choice((4, 8, 10, 16, 24, 32, 49, 64))
    c = rng.choice((16, 32, 32, 48, 64, 64, 96, 128, 192))
    x = Value("image", (rng.choice((1, 1, 1, 2, 4)), n, rng.choice((1, 3, 8, 16, 40, c))))
    y = add(g, linear(g, x, c), g.weight((1, n, c), 0.1))
    for _ in range(rng.randint(1, 4)):
        y = transformer(g, y, rng, name=rng.choice(("gelu", "relu", "silu")))
    y = layer_norm(g, y) if rng.random() < 0.5 else y
    if rng.random() < 0.3:
        y = transpose(g, y, (0, 2, 1))
        return x, linear(g, y, rng.choice((1, 4, 12, 24)))
    pooled = g.node("ReduceMean", [y], (y.shape[0], c), axes=[1], keepdims=0)
    return x, gemm(g, pooled, rng.choice((2, 4, 10, 100)))


def _near(value: float, rng: Random) -> int:
    """A size of about this value, mostly a multiple of 8."""
    size = max(4.0, value * exp(rng.gauss(0, 0.5)))
    unit = rng.choice((1, 2, 4, 8, 8, 8, 16, 16))
    return max(unit, round(size / unit) * unit)


def _conv(
    g: GraphBuilder, x: Value, c: int, k: int, stride: int = 1, *, groups: int = 1, dilation: int = 1
) -> Value:
    """x: (b, ci, n) -> (b, c, n / stride)."""
    pad = dilation * (k - 1) // 2
    n = (x.shape[2] + 2 * pad - dilation * (k - 1) - 1) // stride + 1
    fan_in = x.c // groups * k
    weights = [g.weight((c, x.c // groups, k), sqrt(1.6 / fan_in)), g.weight((c,), 0.1)]
    g.macs += x.shape[0] * c * n * fan_in
    return g.node(
        "Conv",
        [x, *weights],
        (x.shape[0], c, n),
        dilations=[dilation],
        group=groups,
        kernel_shape=[k],
        pads=[pad, pad],
        strides=[stride],
    )


def _pool(g: GraphBuilder, x: Value, kind: str, k: int) -> Value:
    shape = (*x.shape[:2], (x.shape[2] - k) // k + 1)
    return g.node(kind, [x], shape, kernel_shape=[k], pads=[0, 0], strides=[k], ceil_mode=0)


SMALL_FORMS: Mapping[str, Callable[[GraphBuilder, Random], tuple[Value, Value]]] = {
    "vectors": vectors,
    "series": series,
    "words": words,
}
"""By name, what builds a network: its input and its output."""
