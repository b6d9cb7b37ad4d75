"""Attention and MLP of tokens (b, n, c), in the forms in which they are exported."""

from __future__ import annotations

from random import Random

from .graph import GraphBuilder, Value
from .moves import reshape, split, squeeze, transpose
from .ops import act, add, layer_norm, linear, matmul, mul, scale, softmax

_HEAD_SIZES = (32, 64, 32, 64, 48, 24, 16, 80)


def heads_of(c: int, rng: Random) -> int:
    """Number of heads of a usual size; 1 if none fits."""
    sizes = [d for d in _HEAD_SIZES if c % d == 0]
    return c // rng.choice(sizes) if sizes else 1


def mlp(g: GraphBuilder, x: Value, ratio: float, name: str = "gelu") -> Value:
    """Two linear layers."""
    c = x.shape[-1]
    return linear(g, act(g, linear(g, x, max(1, round(c * ratio))), name), c)


def attend(g: GraphBuilder, q: Value, k: Value, v: Value, bias: Value | None, both: bool) -> Value:
    """softmax(q k^T / sqrt(d) + bias) v. q, k, v: (b, heads, n, d).

    both: q and k are each scaled by d ** -0.25, as scaled_dot_product_attention is exported.
    """
    d = q.shape[-1]
    k_t = transpose(g, k, (0, 1, 3, 2))
    if both:
        scores = matmul(g, scale(g, q, d**-0.25), scale(g, k_t, d**-0.25))
    else:
        scores = matmul(g, scale(g, q, d**-0.5), k_t)
    return matmul(g, softmax(g, scores if bias is None else add(g, scores, bias)), v)


def self_attention(g: GraphBuilder, x: Value, rng: Random, *, biased: bool = False) -> Value:
    """Multi-head attention of tokens (b, n, c), in one of the three ways in which it is exported."""
    b, n, c = x.shape
    heads = heads_of(c, rng)
    d = c // heads
    way = rng.choice(("unbind", "three", "einsum", "einsum") if biased else ("unbind", "unbind", "three"))
    if way == "three":
        q, k, v = (
            transpose(g, reshape(g, linear(g, x, c), (b, n, heads, d)), (0, 2, 1, 3)) for _ in range(3)
        )
    elif way == "unbind":
        folded = transpose(g, reshape(g, linear(g, x, 3 * c), (b, n, 3, heads, d)), (2, 0, 3, 1, 4))
        q, k, v = (squeeze(g, t, 0) for t in split(g, folded, 3, 0))
    else:
        parts = split(g, linear(g, x, 3 * c), 3, 2)
        q, k, v = (transpose(g, reshape(g, t, (b, n, heads, d)), (0, 2, 1, 3)) for t in parts)
    bias = g.weight((1, heads, n, n), 0.1) if biased else None
    if way == "einsum":
        shape = (b, heads, n, n)
        g.macs += q.size * n * 2
        scores = g.node("Einsum", [scale(g, q, d**-0.5), k], shape, equation="bhid,bhjd->bhij")
        weights = softmax(g, add(g, scores, bias) if bias else scores)
        y = g.node("Einsum", [weights, v], q.shape, equation="bhij,bhjd->bhid")
    else:
        y = attend(g, q, k, v, bias, rng.random() < 0.6)
    return linear(g, reshape(g, transpose(g, y, (0, 2, 1, 3)), (b, n, c)), c)


def transformer(g: GraphBuilder, x: Value, rng: Random, *, biased: bool = False, name: str = "gelu") -> Value:
    """Pre-norm layer on tokens; some with layer scale."""
    y = self_attention(g, layer_norm(g, x), rng, biased=biased)
    scaled = rng.random() < 0.3
    x = add(g, x, mul(g, y, g.weight(x.shape[-1:], 0.02, 0.5)) if scaled else y)
    y = mlp(g, layer_norm(g, x), rng.choice((2, 3, 4, 4)), name)
    return add(g, x, mul(g, y, g.weight(x.shape[-1:], 0.02, 0.5)) if scaled else y)
