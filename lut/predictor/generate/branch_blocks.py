"""Blocks of several branches: Inception, Fire, Res2Net, split attention, HRNet, one-shot aggregation, CSP."""

from __future__ import annotations

from random import Random

from .graph import GraphBuilder, Value
from .moves import concat, part, reshape, resize, split, transpose, unsqueeze
from .ops import act, add, conv, global_pool, mul, pool, reduce_sum, softmax
from .parts import ANY_ACT, POOL_FORMS, RELUS, conv_act, depthwise, divisor, even, shortcut, squeeze_excite


def inception(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """GoogLeNet, Inception V3: 1x1; 1x1 and 3x3 or 5x5; 1x7 and 7x1; pooling and 1x1."""
    unit = even(c // 4, 8)
    small = even(unit // rng.choice((1, 2)), 8)
    if stride == 2:
        parts = [conv_act(g, conv_act(g, x, small), unit, 3, 2), pool(g, x, "MaxPool", 3, 2)]
        return concat(g, [*parts, conv_act(g, x, unit, 3, 2)])
    k = rng.choice((3, 5))
    parts = [conv_act(g, x, unit), conv_act(g, conv_act(g, x, small), unit, k)]
    if rng.random() < 0.5:
        y = conv_act(g, conv_act(g, x, small), small, (1, long := rng.choice((3, 7, 7))))
        parts.append(conv_act(g, y, unit, (long, 1)))
    else:
        parts.append(conv_act(g, conv_act(g, conv_act(g, x, small), small, 3), unit, 3))
    pooled = pool(g, x, rng.choice(("MaxPool", "AveragePool")), 3, 1, ceil=rng.random() < 0.3)
    return concat(g, [*parts, conv_act(g, pooled, even(unit // 2, 8))])


def fire(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """SqueezeNet: squeeze, expand by 1x1 and 3x3, Concat; MaxPool with ceil_mode before it."""
    x = pool(g, x, "MaxPool", 3, 2, pad=0, ceil=True) if stride == 2 else x
    y = conv_act(g, x, even(c // rng.choice((4, 8)), 8))
    return concat(g, [conv_act(g, y, c // 2), conv_act(g, y, c - c // 2, 3)])


def res2net(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """Res2Net: Split, a chain of 3x3 convolutions with sums, Concat."""
    scales = rng.choice((4, 4, 8, 2))
    width = even(c // (2 * scales), rng.choice((2, 8)))
    pieces = split(g, conv_act(g, x, width * scales), scales)
    done: list[Value] = []
    for piece in pieces[:-1]:
        chained = add(g, done[-1], piece) if done and stride == 1 else piece
        done.append(conv_act(g, chained, width, 3, stride))
    last = pool(g, pieces[-1], "AveragePool", 3, 2) if stride == 2 else pieces[-1]
    y = conv(g, concat(g, [*done, last]), c)
    return act(g, add(g, y, shortcut(g, x, y, stride, rng)), "relu")


def split_attention(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """ResNeSt: radix 2 grouped convolution, sums over the radix, softmax, weighted sum."""
    c = even(c, 8)
    x = pool(g, x, "AveragePool", 3, 2) if stride == 2 else x
    b, _, h, w = x.shape
    y = conv_act(g, conv_act(g, x, c), 2 * c, 3, groups=2)
    folded = reshape(g, y, (b, 2, c, h, w))
    gap = global_pool(g, reduce_sum(g, folded, 1), rng.choice(("ReduceMean", "GlobalAveragePool")))
    logits = conv(g, conv_act(g, gap, even(max(16, c // 4), 8)), 2 * c)
    weights = softmax(g, transpose(g, reshape(g, logits, (b, 1, 2, c)), (0, 2, 1, 3)), 1)
    return reduce_sum(g, mul(g, folded, reshape(g, weights, (b, 2, c, 1, 1))), 1)


def selective_kernel(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """SKNet: two kernels, Unsqueeze and Concat, softmax over the paths."""
    halves = split(g, x, 2) if x.c % 2 == 0 and rng.random() < 0.5 else [x, x]
    paths = [conv_act(g, p, c, 3, stride, dilation=d) for p, d in zip(halves, (1, 2), strict=True)]
    stacked = concat(g, [unsqueeze(g, p, 1) for p in paths])
    gap = global_pool(g, reduce_sum(g, stacked, 1), "ReduceMean")
    logits = conv(g, conv_act(g, gap, even(max(16, c // 8), 8)), 2 * c)
    weights = softmax(g, reshape(g, logits, (x.shape[0], 2, c, 1, 1)), 1)
    return reduce_sum(g, mul(g, stacked, weights), 1)


def high_resolution(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """HRNet: two or three resolutions exchange by strided convolutions and nearest Resize."""
    x = conv_act(g, x, c, 3, stride) if stride == 2 or x.c != c else x
    coarse = conv_act(g, x, 2 * c, 3, 2)
    fine = act(g, add(g, conv(g, x, c, 3), x), "relu")
    coarse = act(g, add(g, conv(g, coarse, 2 * c, 3), coarse), "relu")
    fine = add(g, fine, resize(g, conv(g, coarse, c), fine.hw))
    if min(fine.hw) >= 8 and rng.random() < 0.6:
        coarsest = conv_act(g, coarse, 4 * c, 3, 2)
        fine = add(g, fine, resize(g, conv(g, coarsest, c), fine.hw))
    return act(g, fine, "relu")


def aggregation(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """VoVNet, DLA, HarDNet: a chain of convolutions, all of them concatenated, 1x1, one-layer squeeze."""
    x = pool(g, x, "MaxPool", rng.choice((2, 3)), 2, ceil=True) if stride == 2 else x
    width, name = even(c // rng.choice((2, 3, 4)), 8), rng.choice(RELUS)
    parts = [x]
    for _ in range(rng.choice((2, 3))):
        last = parts[-1]
        if last.c == width and rng.random() < 0.3:
            last = depthwise(g, last, 3)
        parts.append(conv_act(g, last, width, 3, name=name))
    y = conv_act(g, concat(g, parts), c, name=name)
    if rng.random() < 0.5:
        pooled = global_pool(g, y, rng.choice(POOL_FORMS))
        y = mul(g, y, act(g, conv(g, pooled, c), "hardsigmoid"))
    return add(g, y, x) if x.shape == y.shape else y


def cross_stage(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """CSPNet, YOLO's C2f: expand, two halves by Split or Slice, one through bottlenecks, Concat."""
    name = rng.choice(("silu", "leakyrelu", "relu", "mish", "hardswish"))
    x = conv_act(g, x, c, 3, stride, name) if stride == 2 else x
    y = conv_act(g, x, even(c), name=name)
    half = y.c // 2
    left, right = split(g, y, 2) if rng.random() < 0.5 else [part(g, y, 0, half), part(g, y, half, 2 * half)]
    inner = conv_act(g, conv_act(g, right, half, name=name), half, 3, name=name)
    right = add(g, inner, right)
    return conv_act(g, concat(g, [left, right]), c, name=name)


def pyramid(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """Spatial pyramid pooling and mixed depthwise kernels (MixNet): poolings or slices, Concat, 1x1."""
    name = rng.choice(ANY_ACT)
    y = conv_act(g, x, even(c, 4), 1, stride, name)
    if rng.random() < 0.5:
        pools = [pool(g, y, rng.choice(("MaxPool", "AveragePool")), k, 1) for k in (3, 5)]
        return conv_act(g, concat(g, [y, *pools]), c, name=name)
    pieces = split(g, y, divisor(y.c, (2, 4), rng))
    mixed = [depthwise(g, p, k, 1) for p, k in zip(pieces, (3, 5, 7, 9), strict=False)]
    y = act(g, concat(g, mixed), name)
    return conv(g, squeeze_excite(g, y, max(8, c // 4), rng), c)
