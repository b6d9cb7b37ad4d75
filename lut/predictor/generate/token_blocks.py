"""Blocks on tokens: ViT, Swin, MaxViT, Mixer, LeViT, XCiT, PVT, MobileViT, EfficientViT, MobileNet V4 hybrid.

Every builder takes and returns a map of the same shape and goes through tokens in between; stride is 1.
"""

from __future__ import annotations

from random import Random

from .attention import attend, heads_of, mlp, transformer
from .graph import GraphBuilder, Value
from .moves import as_map, concat, pad_map, part, reshape, resize, split, squeeze, tokens, transpose
from .ops import act, add, batch_norm, conv, div, gemm, layer_norm, linear, matmul, mul, scale, softmax
from .parts import depthwise


def vit(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """ViT, DeiT: global attention, with or without class token and position embedding."""
    t = tokens(g, x)
    b, n, _ = t.shape
    t = add(g, t, g.weight((1, n, c), 0.1)) if rng.random() < 0.5 else t
    cls = rng.random() < 0.5
    t = concat(g, [g.weight((b, 1, c), 0.1), t]) if cls else t
    t = transformer(g, t, rng, name=rng.choice(("gelu", "gelu", "silu")))
    t = layer_norm(g, t) if rng.random() < 0.5 else t
    return as_map(g, part(g, t, 1, n + 1) if cls else t, x.hw)


def windowed(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """Swin and MaxViT: attention in shifted windows or in a grid, channels last, with position bias."""
    window = next((s for s in rng.sample((7, 4, 8), 3) if all(n % s == 0 for n in x.hw)), 7)
    short = [-n % window for n in x.hw]
    padded = pad_map(g, x, 0, (short[0], short[1])) if any(short) else x
    y = transpose(g, padded, (0, 2, 3, 1))
    shift = window // 2 if rng.random() < 0.5 and min(padded.hw) > window else 0
    for axis in (1, 2):
        y = _roll(g, y, axis, shift)
    b, h, w, _ = y.shape
    grid = rng.random() < 0.3
    perm = (0, 2, 4, 1, 3, 5) if grid else (0, 1, 3, 2, 4, 5)
    back = (0, 3, 1, 4, 2, 5) if grid else perm
    sizes = (window, h // window, window, w // window) if grid else (h // window, window, w // window, window)
    folded = transpose(g, reshape(g, y, (b, *sizes, c)), perm)
    t = reshape(g, folded, (y.size // c // window**2, window**2, c))
    t = transformer(g, t, rng, biased=True)
    y = reshape(g, transpose(g, reshape(g, t, folded.shape), back), y.shape)
    for axis in (1, 2):
        y = _roll(g, y, axis, y.shape[axis] - shift if shift else 0)
    if any(short):
        y = part(g, part(g, y, 0, x.hw[0], 1), 0, x.hw[1], 2)
    return transpose(g, y, (0, 3, 1, 2))


def _roll(g: GraphBuilder, x: Value, axis: int, shift: int) -> Value:
    if not shift:
        return x
    return concat(g, [part(g, x, shift, x.shape[axis], axis), part(g, x, 0, shift, axis)], axis)


def mixer(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """MLP-Mixer, ResMLP: linear layers across tokens and across channels."""
    t = tokens(g, x)
    y = mlp(g, transpose(g, layer_norm(g, t), (0, 2, 1)), rng.choice((0.5, 1, 2)))
    t = add(g, t, transpose(g, y, (0, 2, 1)))
    t = add(g, t, mlp(g, layer_norm(g, t), rng.choice((2, 3, 4))))
    return as_map(g, layer_norm(g, t) if rng.random() < 0.5 else t, x.hw)


def levit(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """LeViT: linear layers with unfolded batch normalisation, HardSwish, position bias."""
    t = tokens(g, x)
    b, n, _ = t.shape
    d = rng.choice((16, 32))
    heads = max(2, c // (2 * d))
    wide = transpose(g, reshape(g, _linear_bn(g, t, 4 * heads * d), (b, n, heads, 4 * d)), (0, 2, 1, 3))
    q, k = part(g, wide, 0, d, 3), part(g, wide, d, 2 * d, 3)
    y = attend(g, q, k, part(g, wide, 2 * d, 4 * d, 3), g.weight((heads, n, n), 0.1), False)
    y = act(g, reshape(g, transpose(g, y, (0, 2, 1, 3)), (b, n, heads * 2 * d)), "hardswish")
    t = add(g, t, _linear_bn(g, y, c))
    return as_map(g, add(g, t, _linear_bn(g, act(g, _linear_bn(g, t, 2 * c), "hardswish"), c)), x.hw)


def _linear_bn(g: GraphBuilder, x: Value, c: int) -> Value:
    y = linear(g, x, c, bias=False)
    flat = g.node("Flatten", [y], (y.size // c, c), axis=2)
    return reshape(g, batch_norm(g, flat), y.shape)


def cross_covariance(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """XCiT, EdgeNeXt: attention between channels of normalised q and k."""
    t = tokens(g, x)
    b, n, _ = t.shape
    heads = heads_of(c, rng)
    qkv = reshape(g, linear(g, layer_norm(g, t), 3 * c), (b, n, 3, heads, c // heads))
    q, k, v = (squeeze(g, s, 0) for s in split(g, transpose(g, qkv, (2, 0, 3, 4, 1)), 3, 0))
    q, k = _unit(g, q), _unit(g, k)
    scores = mul(g, matmul(g, q, transpose(g, k, (0, 1, 3, 2))), g.weight((heads, 1, 1), 0.1, 1.0))
    y = reshape(g, transpose(g, matmul(g, softmax(g, scores), v), (0, 3, 1, 2)), (b, n, c))
    t = add(g, t, linear(g, y, c))
    return as_map(g, add(g, t, mlp(g, layer_norm(g, t), rng.choice((2, 4)))), x.hw)


def _unit(g: GraphBuilder, x: Value) -> Value:
    """Torch's normalize(dim=-1): ReduceL2, Clip, Expand, Div."""
    norm = g.node("ReduceL2", [x], (*x.shape[:-1], 1), axes=[-1], keepdims=1)
    norm = g.node("Clip", [norm, g.constant(1e-12), ""], norm.shape)
    return div(g, x, g.node("Expand", [norm, g.constant(list(x.shape))], x.shape))


def reduced_attention(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """PVT, SegFormer: keys and values from a map that a strided convolution made smaller."""
    ratio = max(1, min(8, min(x.hw) // 7))
    t = tokens(g, x)
    b, n, _ = t.shape
    heads = heads_of(c, rng)
    d = c // heads
    normal = layer_norm(g, t)
    q = transpose(g, reshape(g, linear(g, normal, c), (b, n, heads, d)), (0, 2, 1, 3))
    small = normal
    if ratio > 1:
        small = layer_norm(g, tokens(g, conv(g, as_map(g, normal, x.hw), c, ratio, ratio, pad=0)))
    m = small.shape[1]
    kv = transpose(g, reshape(g, linear(g, small, 2 * c), (b, m, 2, heads, d)), (2, 0, 3, 1, 4))
    k, v = (squeeze(g, s, 0) for s in split(g, kv, 2, 0))
    y = attend(g, q, k, v, None, rng.random() < 0.5)
    t = add(g, t, linear(g, reshape(g, transpose(g, y, (0, 2, 1, 3)), (b, n, c)), c))
    y = linear(g, layer_norm(g, t), 4 * c)
    if rng.random() < 0.5:
        y = tokens(g, depthwise(g, as_map(g, y, x.hw), 3))
    t = add(g, t, linear(g, act(g, y, "gelu"), c))
    return as_map(g, layer_norm(g, t) if rng.random() < 0.5 else t, x.hw)


def mobile_vit(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """MobileViT: convolutions, 2x2 patches unfolded into tokens, transformer, folded back, joined."""
    d = rng.choice([w for w in (64, 80, 96, 120, 144, 192, 240) if w <= max(64, 2 * c)])
    y = conv(g, act(g, conv(g, x, c, 3), "silu"), d)
    h, w = (n + n % 2 for n in x.hw)
    y = resize(g, y, (h, w), "linear") if (h, w) != x.hw else y
    b = y.shape[0]
    rows = transpose(g, reshape(g, y, (b * d * h // 2, 2, w // 2, 2)), (0, 2, 1, 3))
    folded = transpose(g, reshape(g, rows, (b, d, h * w // 4, 4)), (0, 3, 2, 1))
    t = reshape(g, folded, (b * 4, h * w // 4, d))
    t = layer_norm(g, transformer(g, t, rng, name="silu"))
    y = transpose(g, reshape(g, t, folded.shape), (0, 3, 2, 1))
    y = transpose(g, reshape(g, y, rows.shape), (0, 2, 1, 3))
    y = reshape(g, y, (b, d, h, w))
    y = resize(g, y, x.hw, "linear") if (h, w) != x.hw else y
    y = act(g, conv(g, y, c), "silu")
    return act(g, conv(g, concat(g, [x, y]), c, 3), "silu")


def linear_attention(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """EfficientViT (MIT): ReLU attention, a multi-scale map of q, k and v, Pad, Slice and Div."""
    d = rng.choice((8, 16, 32))
    c_in = max(d, c - c % d)
    b, _, h, w = x.shape
    qkv = conv(g, x, 3 * c_in, bias=False)
    extra = conv(g, depthwise(g, qkv, 5), 3 * c_in, groups=3 * c_in // d)
    both = reshape(g, concat(g, [qkv, extra]), (b, 2 * c_in // d, 3 * d, h * w))
    folded = transpose(g, both, (0, 1, 3, 2))
    q, k, v = (part(g, folded, i * d, (i + 1) * d, 3) for i in range(3))
    q, k = act(g, q, "relu"), act(g, k, "relu")
    pads = g.constant([0, 0, 0, 0, 0, 0, 0, 1])
    one = g.constant(1.0)
    v = g.node("Pad", [v, pads, one], (*v.shape[:-1], d + 1), mode="constant")
    y = matmul(g, q, matmul(g, transpose(g, k, (0, 1, 3, 2)), v))
    top, bottom = part(g, y, 0, d, 3), part(g, y, d, d + 1, 3)
    y = div(g, top, g.node("Add", [bottom, g.constant(1e-3)], bottom.shape))
    y = reshape(g, transpose(g, y, (0, 1, 3, 2)), (b, 2 * c_in, h, w))
    return add(g, conv(g, y, c), x)


def conv_attention(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """MobileNet V4's multi-query attention, CoAtNet: projections by 1x1 convolutions, attention on maps."""
    b, _, h, w = x.shape
    n, d = h * w, rng.choice((32, 64))
    heads, down = rng.choice((2, 4, 8)), rng.random() < 0.5 and min(x.hw) >= 8
    y = batch_norm(g, x)
    q = transpose(g, reshape(g, conv(g, y, heads * d, bias=False), (b, heads, d, n)), (0, 1, 3, 2))
    kv = depthwise(g, y, 3, 2) if down else y
    k = reshape(g, conv(g, kv, d, bias=False), (b, 1, d, kv.hw[0] * kv.hw[1]))
    v = reshape(g, conv(g, kv, d, bias=False), (b, 1, d, kv.hw[0] * kv.hw[1]))
    weights = softmax(g, matmul(g, scale(g, q, d**-0.5), k))
    y = matmul(g, weights, transpose(g, v, (0, 1, 3, 2)))
    y = reshape(g, transpose(g, y, (0, 1, 3, 2)), (b, heads * d, h, w))
    return add(g, conv(g, y, c), x)


def gated_vector(g: GraphBuilder, x: Value, c: int, stride: int, rng: Random) -> Value:
    """Squeeze-and-excite with linear layers, as in SENet: Gemm, Relu, Gemm, Sigmoid, Unsqueeze, Mul."""
    b = x.shape[0]
    y = act(g, conv(g, x, c, 3), "relu")
    line = g.node("ReduceMean", [y], (b, c), axes=[2, 3], keepdims=0)
    name = rng.choice(("relu", "gelu", "tanh"))
    line = gemm(g, act(g, gemm(g, line, rng.choice((c // 4, c // 2, c, 2 * c)) or 1), name), c)
    gate = reshape(g, act(g, line, rng.choice(("sigmoid", "hardsigmoid"))), (b, c, 1, 1))
    return add(g, x, mul(g, y, gate))
