"""MetaFormer blocks: a token mixer and a channel MLP on maps (ConvNeXt, PoolFormer, EdgeNeXt, FastViT)."""

from __future__ import annotations

from random import Random

from .graph import GraphBuilder, Value
from .moves import transpose
from .ops import act, add, batch_norm, conv, group_norm, layer_norm, layer_norm_2d, linear, mul, pool, sub
from .parts import conv_act, depthwise, layer_scale


def convnext(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """ConvNeXt: depthwise 7, LayerNorm and linear layers channels last, layer scale."""
    y = transpose(g, depthwise(g, x, rng.choice((7, 7, 5, 3, 9))), (0, 2, 3, 1))
    y = act(g, linear(g, layer_norm(g, y), c * rng.choice((2, 3, 4, 4))), "gelu")
    y = transpose(g, linear(g, y, c), (0, 3, 1, 2))
    return add(g, layer_scale(g, y, rng), x)


def conv_mlp(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """ConvNeXt with 1x1 convolutions, RepMixer, ConvMixer: norms on maps, GELU or SiLU between."""
    y = depthwise(g, x, rng.choice((3, 5, 7, 9)))
    norm = rng.choice(("layer", "batch", "none"))
    y = layer_norm_2d(g, y) if norm == "layer" else batch_norm(g, add(g, y, x)) if norm == "batch" else y
    hidden = conv_act(g, y, c * rng.choice((2, 3, 4)), name=rng.choice(("gelu", "gelu", "silu", "relu")))
    return add(g, x, layer_scale(g, conv(g, hidden, c), rng))


def poolformer(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """PoolFormer: average pooling minus identity, group or batch normalisation, layer scales."""
    groups = rng.choice((1, 1, 0))
    y = group_norm(g, x, groups) if groups else batch_norm(g, x)
    y = sub(g, pool(g, y, "AveragePool", 3, 1), y)
    x = add(g, x, layer_scale(g, y, rng))
    y = group_norm(g, x, groups) if groups else batch_norm(g, x)
    hidden = conv_act(g, y, c * rng.choice((2, 4)), name="gelu")
    return add(g, x, layer_scale(g, conv(g, hidden, c), rng))


def group_normed(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """ResNet with group normalisation (BiT, detection heads)."""
    groups = next(n for n in (32, 16, 8, 4, 2, 1) if c % n == 0)
    name = rng.choice(("relu", "relu", "silu", "gelu"))
    y = act(g, group_norm(g, conv(g, x, c, 3), groups), name)
    y = group_norm(g, conv(g, y, c, rng.choice((1, 3))), groups)
    return act(g, add(g, y, x), name)


def gated(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """StarNet, MogaNet, SwiGLU on maps: two 1x1 branches multiplied."""
    y = depthwise(g, x, rng.choice((3, 7)))
    hidden = c * rng.choice((2, 3, 4))
    left = act(g, conv(g, y, hidden), rng.choice(("relu6", "silu", "sigmoid")))
    return add(g, x, depthwise(g, conv(g, mul(g, left, conv(g, y, hidden)), c), 3))
