"""Stems, transitions between resolutions, and heads."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from .graph import GraphBuilder, Value
from .moves import concat, flatten, pad_map, part, tokens
from .ops import act, conv, gemm, global_pool, layer_norm, layer_norm_2d, pool
from .parts import ANY_ACT, conv_act, depthwise


@dataclass(frozen=True, slots=True)
class Stem:
    """Convolutions (kernel, stride) on the image.

    pool: MaxPool 3x3/2 after them. norm: some with LayerNorm, none with an activation.
    """

    convs: tuple[tuple[int, int], ...]
    channels: tuple[int, ...]
    pool: bool = False
    norm: bool = False

    @property
    def stride(self) -> int:
        """Of the whole stem."""
        stride = 2 if self.pool else 1
        for _, s in self.convs:
            stride *= s
        return stride


_FEW = (8, 12, 16, 16, 20, 24, 24, 32, 32, 32, 40, 48, 64)
_SOME = (16, 32, 32, 48, 64, 64, 64, 64, 64, 96)
_PATCH = (32, 40, 48, 64, 64, 80, 96, 96, 128)
_WIDE = (192, 192, 256, 320, 384, 384, 512, 768)

STEMS: tuple[Stem, ...] = (
    Stem(((3, 2),), _FEW),
    Stem(((7, 2),), _SOME, pool=True),
    Stem(((4, 4),), _PATCH, norm=True),
    Stem(((3, 2),), _FEW),
    Stem(((3, 1),), _FEW),
    Stem(((16, 16),), _WIDE, norm=True),
    Stem(((3, 2), (3, 1), (3, 1)), _FEW, pool=True),
    Stem(((7, 2),), _SOME),
    Stem(((3, 2), (3, 2)), _FEW),
    Stem(((7, 4),), _PATCH, norm=True),
    Stem(((3, 2), (3, 1)), _FEW),
    Stem(((11, 4),), _SOME),
    Stem(((5, 2),), _FEW),
    Stem(((3, 2),), _FEW, pool=True),
    Stem(((8, 8),), _WIDE, norm=True),
    Stem(((6, 2),), _FEW),
    Stem(((3, 1), (3, 1)), (16, 32, 64, 64), pool=True),
    Stem(((2, 2),), _FEW, norm=True),
    Stem(((3, 2), (3, 2), (3, 2)), _SOME),
    Stem(((32, 32),), _WIDE, norm=True),
    Stem(((5, 1),), (8, 16, 24, 32)),
    Stem(((9, 2),), (16, 32, 64)),
)


def build_stem(g: GraphBuilder, image: Value, stem: Stem, rng: Random) -> Value:
    """The image after a stem; odd kernels keep the size, one in eight has TensorFlow's one-sided padding."""
    x, c = image, rng.choice(stem.channels)
    name = rng.choice(ANY_ACT)
    for i, (kernel, stride) in enumerate(stem.convs):
        width = c if i == len(stem.convs) - 1 else max(8, c // 2)
        pad = 0 if kernel == stride else kernel // 2 - (kernel % 2 == 0)
        if stride == 2 and kernel == 3 and rng.random() < 0.12:
            x, pad = pad_map(g, x, 0, (1, 1)), 0
        x = conv(g, x, width, kernel, stride, pad=pad)
        x = x if stem.norm else act(g, x, name)
    if stem.norm and rng.random() < 0.4:
        x = layer_norm_2d(g, x)
    return pool(g, x, "MaxPool", 3, 2, ceil=rng.random() < 0.3) if stem.pool else x


def halve(g: GraphBuilder, x: Value, c: int, rng: Random) -> Value:
    """To half the resolution and c channels, in one of the ways of real networks."""
    way = rng.choice(("conv", "conv", "patch", "max", "average", "depthwise", "multiplier"))
    if way == "patch" and min(x.hw) >= 2:
        return conv(g, layer_norm_2d(g, x), c, 2, 2, pad=0)
    if way == "max":
        return conv_act(
            g, pool(g, x, "MaxPool", rng.choice((2, 3)), 2, ceil=True), c, name=rng.choice(ANY_ACT)
        )
    if way == "average":
        return conv(g, pool(g, x, "AveragePool", 2, 2, ceil=True), c)
    if way == "multiplier":  # FastViT, MobileOne: two outputs per input channel, then mixed
        y = conv(g, x, 2 * x.c, rng.choice((3, 5, 7)), 2, groups=x.c)
        return conv_act(g, y, c, name=rng.choice(ANY_ACT))
    if way == "depthwise":
        return conv(g, depthwise(g, x, rng.choice((3, 5)), 2, rng.choice(ANY_ACT)), c)
    return conv_act(g, x, c, 3, 2, rng.choice(ANY_ACT))


def build_head(g: GraphBuilder, x: Value, sides: list[Value], room: int, rng: Random) -> Value:
    """Logits of a map and of the side stems' pooled outputs. room: parameters that the head may have."""
    classes = rng.choice((10, 100, 365, 1000, 1000, 1000, 512, 21))
    way = rng.choice(("pool", "pool", "wide", "mlp", "vgg", "tokens"))
    if way == "wide":
        options = [w for w in (576, 768, 960, 1024, 1280, 1280, 1536, 2048) if w * (x.c + classes) < room]
        x = conv_act(g, x, rng.choice(options), name=rng.choice(ANY_ACT)) if options else x
    if way == "vgg" and x.size // x.shape[0] * 256 < room:
        y = flatten(g, x)
        options = [w for w in (256, 512, 1024, 2048, 4096) if w * (y.shape[1] + classes) < room]
        y = act(g, gemm(g, y, rng.choice(options or [64])), "relu")
    elif way == "tokens":
        t = layer_norm(g, tokens(g, x))
        first = part(g, t, 0, 1, 1)
        y = g.node("Gather", [t, g.constant([0])], first.shape, axis=1)
        y = flatten(g, y)
    else:
        y = flatten(g, global_pool(g, x, rng.choice(("GlobalAveragePool", "ReduceMean"))))
    if way == "mlp":
        options = [w for w in (256, 512, 1024, 1280, 2048, 4096) if w * (y.shape[1] + classes) < room]
        y = act(g, gemm(g, y, rng.choice(options or [64])), rng.choice(("hardswish", "relu", "tanh", "gelu")))
    if sides:
        y = concat(g, [y, *(flatten(g, global_pool(g, s)) for s in sides)])
    while classes > 10 and classes * y.shape[1] > max(room, 10_000):
        classes //= 4
    return gemm(g, y, classes)
