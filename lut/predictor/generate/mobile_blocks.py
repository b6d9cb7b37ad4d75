"""Blocks around depthwise convolutions: MobileNet V1-V4, EfficientNet, GhostNet, ShuffleNet, Xception."""

from __future__ import annotations

from random import Random

from .graph import GraphBuilder, Value
from .moves import concat, part, reshape, resize
from .ops import act, add, conv, conv_transpose, mul, pool
from .parts import (
    ANY_ACT,
    RELUS,
    SMOOTH,
    channel_shuffle,
    conv_act,
    depthwise,
    divisor,
    even,
    joined,
    residual,
    shortcut,
    squeeze_excite,
)

_KERNELS, _KERNEL_SHARES = (3, 5, 7, 9), (6, 4, 3, 1)


def _kernel(rng: Random) -> int:
    return rng.choices(_KERNELS, _KERNEL_SHARES)[0]


def separable(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """MobileNet V1, PP-LCNet, Xception: depthwise and pointwise, with or without an activation between."""
    name = rng.choice(ANY_ACT)
    y = depthwise(g, x, _kernel(rng), stride, rng.choice((name, name, "none")))
    if rng.random() < 0.2:
        y = squeeze_excite(g, y, max(8, y.c // 4), rng, gate="hardsigmoid")
    return conv_act(g, y, c, 1, 1, name)


def inverted(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """MobileNet V2, MnasNet, FBNet: expand, depthwise, project."""
    name = rng.choice((*RELUS, "hardswish"))
    y = conv_act(g, x, even(round(x.c * rng.choice((1, 2, 3, 4, 6, 6))), 4), 1, 1, name)
    return residual(g, x, conv(g, depthwise(g, y, _kernel(rng), stride, name), c))


def inverted_se(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """MobileNet V3, EfficientNet, TinyNet: the same with squeeze-and-excite."""
    name = rng.choice((*SMOOTH, "relu"))
    y = conv_act(g, x, even(round(x.c * rng.choice((1, 2.5, 3, 4, 6, 6))), 4), 1, 1, name)
    y = depthwise(g, y, _kernel(rng), stride, name)
    hard = name in ("hardswish", "relu")
    inner, gate = ("relu", "hardsigmoid") if hard else (name, "sigmoid")
    reduced = even(max(8, (y.c if hard else x.c) // 4), rng.choice((1, 8)))
    return residual(g, x, conv(g, squeeze_excite(g, y, reduced, rng, inner, gate), c))


def fused(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """EfficientNet V2, EfficientNet-EdgeTPU: full 3x3 expansion, project."""
    name = rng.choice(("silu", "silu", "relu", "relu6", "hardswish"))
    y = conv_act(g, x, x.c * rng.choice((1, 2, 4, 4)), 3, stride, name)
    return residual(g, x, conv(g, y, c))


def universal(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """MobileNet V4's universal inverted bottleneck: optional depthwise at the start and in the middle."""
    y = depthwise(g, x, rng.choice((3, 5))) if rng.random() < 0.5 else x
    y = conv_act(g, y, even(x.c * rng.choice((2, 3, 4, 6)), 8), 1, 1, "relu")
    if stride == 2 or rng.random() < 0.6:
        y = depthwise(g, y, rng.choice((3, 5)), stride, "relu")
    return residual(g, x, conv(g, y, c))


def ghost(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """GhostNet: half of the channels by a cheap depthwise convolution, Concat, Slice."""
    c = even(c)
    y = _ghost_module(g, x, even(x.c * rng.choice((2, 3, 6)), 2), "relu")
    y = depthwise(g, y, 3, 2) if stride == 2 else y
    if rng.random() < 0.4:
        y = squeeze_excite(g, y, even(max(8, y.c // 4), 4), rng, gate="hardsigmoid")
    y = _ghost_module(g, y, c, "none")
    if x.shape == y.shape:
        return add(g, y, x)
    return add(g, y, conv(g, depthwise(g, x, 3, stride), c))


def _ghost_module(g: GraphBuilder, x: Value, c: int, name: str) -> Value:
    first = conv_act(g, x, c // 2, 1, 1, name)
    both = concat(g, [first, depthwise(g, first, 3, 1, name)])
    return part(g, both, 0, c)


def shuffle(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """ShuffleNet V2: halves, depthwise on one of them, Concat, channel shuffle."""
    if stride == 1 and x.c % 2:
        return conv_act(g, x, even(c), 1, 1, "relu")
    half = x.c // 2 if stride == 1 else even(c) // 2
    if stride == 1:
        left, y = part(g, x, 0, half), part(g, x, half, 2 * half)
    else:
        left, y = conv_act(g, depthwise(g, x, 3, 2), half), x
    y = depthwise(g, conv_act(g, y, half), 3 if rng.random() < 0.7 else 5, stride)
    return channel_shuffle(g, concat(g, [left, conv_act(g, y, half)]), 2)


def shuffle_grouped(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """ShuffleNet V1: grouped 1x1 convolutions around a channel shuffle."""
    groups = rng.choice((2, 3, 4, 8))
    c, middle = even(c, 4 * groups), even(c // 4, groups)
    y = conv_act(g, x, middle, groups=divisor(x.c, (1, groups), rng))
    y = depthwise(g, channel_shuffle(g, y, groups), 3, stride)
    y = conv(g, y, c, groups=groups)
    return act(g, add(g, y, shortcut(g, x, y, stride, rng)), "relu")


def large_kernel_attention(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """Visual Attention Network: depthwise 5, dilated depthwise 7, pointwise, times the input."""
    x = conv(g, x, c, 3, stride) if stride == 2 or x.c != c else x
    y = conv_act(g, x, c, 1, 1, "gelu")
    gate = conv(g, depthwise(g, depthwise(g, y, 5), 7, dilation=3), c)
    return add(g, x, conv(g, mul(g, y, gate), c))


def eca(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """Attention that is no squeeze-and-excite: ECA's 1-D convolution or CBAM's spatial gate, as Mul."""
    name = rng.choice(ANY_ACT)
    y = conv_act(g, x, c, 3, stride, name, groups=divisor(x.c, (1, x.c), rng) if x.c == c else 1)
    b, _, h, w = y.shape
    if rng.random() < 0.5:
        line = reshape(g, g.node("ReduceMean", [y], (b, c), axes=[2, 3], keepdims=0), (b, 1, c))
        k = rng.choice((3, 5))
        mixed = g.node(
            "Conv", [line, g.weight((1, 1, k), 0.5)], (b, 1, c), kernel_shape=[k], pads=[k // 2] * 2
        )
        g.macs += b * c * k
        gate = act(g, reshape(g, mixed, (b, c, 1, 1)), "sigmoid")
    else:
        both = [g.node(op, [y], (b, 1, h, w), axes=[1], keepdims=1) for op in ("ReduceMean", "ReduceMax")]
        gate = act(g, conv(g, concat(g, both), 1, 7), "sigmoid")
    return mul(g, y, gate)


def decoder(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """U-Net, FPN: strided down, back up (ConvTranspose, nearest or linear Resize), joined or added."""
    name = rng.choice(ANY_ACT)
    x = conv_act(g, x, c, 3, stride, name) if stride == 2 or x.c != c else x
    down = conv_act(g, pool(g, x, "MaxPool", 2, 2), c, 3, 1, name)
    way = rng.choice(("transpose", "transpose", "nearest", "linear"))
    whole = x.hw[0] % 2 == 0 and x.hw[1] % 2 == 0
    if way == "transpose" and whole:
        up = conv_transpose(g, down, c, rng.choice((2, 4)))
    else:
        up = resize(g, down, x.hw, "linear" if way == "linear" else "nearest")
    return conv_act(g, joined(g, [up, x]) if rng.random() < 0.5 else add(g, up, x), c, 3, 1, name)
