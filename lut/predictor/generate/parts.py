"""Pieces that several kinds of blocks share."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from .graph import GraphBuilder, Value
from .moves import concat, reshape, transpose
from .ops import KernelSize, act, add, conv, global_pool, mul, pool

RELUS = ("relu", "relu", "relu", "relu6", "leakyrelu")
SMOOTH = ("silu", "silu", "hardswish", "hardswish", "gelu")
ANY_ACT = (*RELUS, *SMOOTH, "prelu")
RARE_ACTS = ("prelu", "elu", "mish", "leakyrelu")
POOL_FORMS = ("GlobalAveragePool", "ReduceMean")


def conv_act(
    g: GraphBuilder,
    x: Value,
    c: int,
    kernel: KernelSize = 1,
    stride: int = 1,
    name: str = "relu",
    *,
    groups: int = 1,
    dilation: int = 1,
) -> Value:
    """Convolution and activation."""
    return act(g, conv(g, x, c, kernel, stride, groups=groups, dilation=dilation), name)


def depthwise(
    g: GraphBuilder, x: Value, kernel: int, stride: int = 1, name: str = "none", dilation: int = 1
) -> Value:
    """Depthwise convolution and activation."""
    return conv_act(g, x, x.c, kernel, stride, name, groups=x.c, dilation=dilation)


def shortcut(g: GraphBuilder, x: Value, y: Value, stride: int, rng: Random) -> Value:
    """X in the shape of y: itself, a strided 1x1 convolution, or average pooling before it (ResNet-D)."""
    if x.shape == y.shape:
        return x
    if stride == 2 and rng.random() < 0.3:
        return conv(g, pool(g, x, "AveragePool", 2, 2, ceil=True), y.c)
    return conv(g, x, y.c, 1, stride)


def residual(g: GraphBuilder, x: Value, y: Value) -> Value:
    """Y + x where the shapes allow it, as in inverted residuals."""
    return add(g, y, x) if x.shape == y.shape else y


def squeeze_excite(
    g: GraphBuilder, x: Value, reduced: int, rng: Random, inner: str = "relu", gate: str = "sigmoid"
) -> Value:
    """Squeeze-and-excite with 1x1 convolutions (Hu et al. 2018)."""
    pooled = global_pool(g, x, rng.choice(POOL_FORMS))
    return mul(g, x, act(g, conv(g, conv_act(g, pooled, reduced, name=inner), x.c), gate))


def channel_shuffle(g: GraphBuilder, x: Value, groups: int) -> Value:
    """ShuffleNet's Reshape, Transpose, Reshape."""
    b, c, h, w = x.shape
    folded = reshape(g, x, (b, groups, c // groups, h, w))
    return reshape(g, transpose(g, folded, (0, 2, 1, 3, 4)), x.shape)


def layer_scale(g: GraphBuilder, x: Value, rng: Random) -> Value:
    """Mul by a value per channel, in two of three networks that could have it."""
    return mul(g, x, g.weight((x.c, 1, 1), 0.02, 0.5)) if rng.random() < 0.67 else x


def joined(g: GraphBuilder, parts: Sequence[Value]) -> Value:
    """Concat, unless there is only one part."""
    return concat(g, parts) if len(parts) > 1 else parts[0]


def divisor(value: int, options: Sequence[int], rng: Random) -> int:
    """One of the options that divide value; 1 if none does."""
    return rng.choice([o for o in options if value % o == 0 and o <= value] or [1])


def even(value: int, multiple: int = 2) -> int:
    """Rounded down to a multiple, at least one multiple."""
    return max(multiple, value - value % multiple)
