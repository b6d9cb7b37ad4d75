"""Pieces that several kinds of blocks share."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from .graph import Graph, Tensor
from .moves import concat, reshape, transpose
from .ops import Pair, act, add, conv, global_pool, mul, pool

RELUS = ("relu", "relu", "relu", "relu6", "leakyrelu")
SMOOTH = ("silu", "silu", "hardswish", "hardswish", "gelu")
ANY_ACT = (*RELUS, *SMOOTH, "prelu")
RARE_ACTS = ("prelu", "elu", "mish", "leakyrelu")
POOL_FORMS = ("GlobalAveragePool", "ReduceMean")


def conv_act(
    g: Graph,
    x: Tensor,
    c: int,
    kernel: Pair = 1,
    stride: int = 1,
    name: str = "relu",
    *,
    groups: int = 1,
    dilation: int = 1,
) -> Tensor:
    """Convolution and activation."""
    return act(g, conv(g, x, c, kernel, stride, groups=groups, dilation=dilation), name)


def depthwise(
    g: Graph, x: Tensor, kernel: int, stride: int = 1, name: str = "none", dilation: int = 1
) -> Tensor:
    """Depthwise convolution and activation."""
    return conv_act(g, x, x.c, kernel, stride, name, groups=x.c, dilation=dilation)


def shortcut(g: Graph, x: Tensor, y: Tensor, stride: int, rng: Random) -> Tensor:
    """X in the shape of y: itself, a strided 1x1 convolution, or average pooling before it (ResNet-D)."""
    if x.shape == y.shape:
        return x
    if stride == 2 and rng.random() < 0.3:
        return conv(g, pool(g, x, "AveragePool", 2, 2, ceil=True), y.c)
    return conv(g, x, y.c, 1, stride)


def residual(g: Graph, x: Tensor, y: Tensor) -> Tensor:
    """Y + x where the shapes allow it, as in inverted residuals."""
    return add(g, y, x) if x.shape == y.shape else y


def squeeze_excite(
    g: Graph, x: Tensor, reduced: int, rng: Random, inner: str = "relu", gate: str = "sigmoid"
) -> Tensor:
    """Squeeze-and-excite with 1x1 convolutions (Hu et al. 2018)."""
    pooled = global_pool(g, x, rng.choice(POOL_FORMS))
    return mul(g, x, act(g, conv(g, conv_act(g, pooled, reduced, name=inner), x.c), gate))


def channel_shuffle(g: Graph, x: Tensor, groups: int) -> Tensor:
    """ShuffleNet's Reshape, Transpose, Reshape."""
    b, c, h, w = x.shape
    folded = reshape(g, x, (b, groups, c // groups, h, w))
    return reshape(g, transpose(g, folded, (0, 2, 1, 3, 4)), x.shape)


def layer_scale(g: Graph, x: Tensor, rng: Random) -> Tensor:
    """Mul by a value per channel, in two of three networks that could have it."""
    return mul(g, x, g.weight((x.c, 1, 1), 0.02, 0.5)) if rng.random() < 0.67 else x


def joined(g: Graph, parts: Sequence[Tensor]) -> Tensor:
    """Concat, unless there is only one part."""
    return concat(g, parts) if len(parts) > 1 else parts[0]


def divisor(value: int, options: Sequence[int], rng: Random) -> int:
    """One of the options that divide value; 1 if none does."""
    return rng.choice([o for o in options if value % o == 0 and o <= value] or [1])


def even(value: int, multiple: int = 2) -> int:
    """Rounded down to a multiple, at least one multiple."""
    return max(multiple, value - value % multiple)
