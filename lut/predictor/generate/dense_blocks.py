"""Blocks of full and grouped convolutions: VGG, ResNet, RegNet, DenseNet, RepVGG and their kin.

Every builder takes (graph, map, channels wanted, stride, rng) and returns a map.
"""

from __future__ import annotations

from random import Random

from .graph import GraphBuilder, Value
from .ops import act, add, batch_norm, conv, pool, scale
from .parts import (
    ANY_ACT,
    RARE_ACTS,
    RELUS,
    conv_act,
    depthwise,
    divisor,
    even,
    joined,
    shortcut,
    squeeze_excite,
)


def plain(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """VGG, AlexNet: convolution and activation, now and then pooled instead of strided."""
    kernel = rng.choices((1, 3, 5, 7), (1, 4, 3, 1))[0]
    if stride == 2 and rng.random() < 0.5:
        kind = rng.choice(("MaxPool", "AveragePool"))
        x = pool(g, x, kind, rng.choice((2, 3)), 2, ceil=rng.random() < 0.5)
        stride = 1
    return conv_act(g, x, c, kernel, stride, rng.choice(ANY_ACT))


def darknet(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """1x1 down, 3x3 up, residual; with the activations of face and detection networks."""
    name = rng.choice(RARE_ACTS)
    x = conv_act(g, x, c, 3, stride, name) if stride == 2 or x.c != c else x
    return add(g, x, conv_act(g, conv_act(g, x, max(8, c // 2), 1, 1, name), c, 3, 1, name))


def basic(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """ResNet-18/34."""
    name = rng.choice(RELUS)
    y = conv(g, conv_act(g, x, c, 3, stride, name), c, 3)
    return act(g, add(g, y, shortcut(g, x, y, stride, rng)), name)


def bottleneck(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """ResNet-50, Wide ResNet, dilated ResNet, SE-ResNet."""
    name = rng.choice((*RELUS, "silu"))
    middle, dilation = even(c // rng.choice((2, 4, 4)), 8), rng.choice((1, 1, 1, 2))
    y = conv_act(g, conv_act(g, x, middle, 1, 1, name), middle, 3, stride, name, dilation=dilation)
    y = conv(g, y, c)
    y = squeeze_excite(g, y, max(8, c // 16), rng) if rng.random() < 0.25 else y
    return act(g, add(g, y, shortcut(g, x, y, stride, rng)), name)


def grouped(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """ResNeXt, RegNetX/Y: grouped 3x3, half of them with squeeze-and-excite."""
    name = rng.choice((*RELUS, "silu"))
    ratio = rng.choice((1.0, 1.0, 0.5, 2.0))
    width = rng.choice((4, 8, 8, 16, 16, 24, 24, 32, 40, 48, 56, 64))
    middle = max(2, round(ratio * c / width)) * width
    y = conv_act(g, conv_act(g, x, middle, 1, 1, name), middle, 3, stride, name, groups=middle // width)
    if rng.random() < 0.5:
        y = squeeze_excite(g, y, max(8, x.c // 4), rng)
    y = conv(g, y, c)
    return act(g, add(g, y, shortcut(g, x, y, stride, rng)), name)


def preact(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """Pre-activation ResNet (BatchNormalization without a convolution) and NF-ResNet (scaled activation)."""
    name = rng.choice((*RELUS, "silu", "gelu"))
    y = act(g, batch_norm(g, x), name) if rng.random() < 0.6 else scale(g, act(g, x, name), 1.7)
    skip = shortcut(g, y, conv(g, y, c, 1, stride), stride, rng) if x.c != c or stride == 2 else x
    y = conv(g, conv_act(g, y, even(c // 2, 4), 1, 1, name), c, 3, stride)
    return add(g, scale(g, y, 0.2) if rng.random() < 0.4 else y, skip)


def dense(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """DenseNet: transition (if strided) and layers that grow a concatenation."""
    name = rng.choice(("relu", "relu", "relu", "silu"))
    if stride == 2 or x.c > 2 * c:
        x = conv(g, act(g, batch_norm(g, x), name), c)
        x = pool(g, x, "AveragePool", 2, 2) if stride == 2 else x
    growth = rng.choice((12, 16, 24, 32, 32, 48))
    together = rng.random() < 0.5  # torchvision's, which joins all layers so far anew each time
    parts = [x]
    for _ in range(rng.choice((2, 4, 6) if together else (1, 2))):
        y = conv_act(g, act(g, batch_norm(g, joined(g, parts)), name), 4 * growth, 1, 1, name)
        parts.append(conv(g, y, growth, 3))
        parts = parts if together else [joined(g, parts)]
    return joined(g, parts)


def reparam(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """RepVGG and MobileOne as trained: branches of 3x3, 1x1 and BatchNormalization, added."""
    name = rng.choice(("relu", "relu", "silu", "gelu"))
    groups = x.c if x.c == c and rng.random() < 0.4 else 1
    parts = [conv(g, x, c, k, stride, groups=groups) for k in rng.choice(((3, 1), (3, 1), (3, 3), (7, 3)))]
    if x.c == c and stride == 1:
        parts.append(batch_norm(g, x))
    y = parts[0]
    for other in parts[1:]:
        y = add(g, y, other)
    return act(g, y, name)


def factored(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """1x7 and 7x1, 1x3 and 3x1 (Inception), dilated and large kernels (SegNeXt, VAN, RepLKNet)."""
    name = rng.choice(ANY_ACT)
    x = conv_act(g, x, c, 3, stride, name) if stride == 2 or x.c != c else x
    kind = rng.choice(("thin", "thin", "dilated", "large"))
    if kind == "thin":
        k = rng.choice((3, 5, 7, 7, 11))
        return conv_act(g, conv_act(g, x, c, (1, k), 1, name), c, (k, 1), 1, name)
    if kind == "dilated":
        d = rng.choice((2, 3, 4))
        groups = divisor(c, (1, 1, c), rng)
        return conv_act(g, x, c, rng.choice((3, 5, 7)), 1, name, dilation=d, groups=groups)
    return add(g, x, conv_act(g, depthwise(g, x, rng.choice((7, 9, 11, 13))), c, 1, 1, name))


def cell(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """NAS-Bench-201, DARTS: each node is a sum of operations on all nodes before it."""
    x = conv(g, act(g, x, "relu"), c, 3 if stride == 2 else 1, stride) if x.c != c or stride == 2 else x
    ways = [
        rng.choice(("conv", "conv", "point", "separable", "dilated", "average", "max", "skip"))
        for _ in range(6)
    ]
    nodes = [x]
    for i in range(1, rng.choice((3, 4))):
        terms = [_edge(g, node, ways[(i * (i - 1) // 2 + j) % 6]) for j, node in enumerate(nodes)]
        total = terms[0]
        for term in terms[1:]:
            total = add(g, total, term)
        nodes.append(total)
    return nodes[-1]


def _edge(g: GraphBuilder, x: Value, way: str) -> Value:
    if way == "skip":
        return x
    if way in ("average", "max"):
        return pool(g, x, "AveragePool" if way == "average" else "MaxPool", 3, 1)
    y = act(g, x, "relu")
    if way in ("separable", "dilated"):
        return conv(g, depthwise(g, y, 3, dilation=2 if way == "dilated" else 1), x.c)
    return conv(g, y, x.c, 3 if way == "conv" else 1)
