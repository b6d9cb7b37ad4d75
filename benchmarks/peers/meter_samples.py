"""nn-Meter's samples: each attribute drawn from the marginal histogram of a zoo, independently of the others.

Height, kernel and stride are snapped to values that occur; channels are any whole number. In the adaptive
round each kernel that was predicted badly gets neighbours of the same size with other channels.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from profilers.kernels import Argument, Kernel

from .common import UntimedNetwork, lone_kernel
from .meter_kernels import Attributes, attributes

BINS = 40
FREQUENT = {"conv": 0.3, "dwconv": 0.2}
"""Share of samples whose height, kernel and stride are among the most frequent of the zoo."""
SHARES = {"conv": 10_000, "dwconv": 5_000}
OTHER_SHARE = 3_000
"""Initial samples of each type in its shipped configuration; what is drawn here is in proportion."""
NEIGHBOURS, LOWEST, HIGHEST = 20, 0.5, 1.2

MOST_MACS, MOST_WEIGHTS, MOST_ELEMENTS = 1e9, 4e6, 4e6
"""Drawn again: what one sample of independent attributes can cost is a minute. Not part of its protocol."""

_TRIES = 50
_MOST_FREQUENT = 5


def zoo_of(networks: Sequence[UntimedNetwork]) -> dict[str, list[Attributes]]:
    """The kernels of the networks by type, with repetition: the table that marginals are taken from."""
    found: dict[str, list[Attributes]] = defaultdict(list)
    for network in networks:
        for kernel in network.kernels:
            a = attributes(kernel)
            if a is not None and min(a.hw, *a.c_in) > 0:
                found[a.kind].append(a)
    return dict(found)


def initial(zoo: dict[str, list[Attributes]], n: int, rng: np.random.Generator) -> list[Attributes]:
    """About n samples of all types in the zoo, in random order."""
    shares = {kind: SHARES.get(kind, OTHER_SHARE) for kind in sorted(zoo)}
    scale = n / max(sum(shares.values()), 1)
    found = [_draw(zoo[k], rng) for k, share in shares.items() for _ in range(max(2, round(scale * share)))]
    return [found[i] for i in rng.permutation(len(found))]


def around(bad: Sequence[Attributes], rng: np.random.Generator) -> list[Attributes]:
    """Neighbours of kernels predicted badly: 0.5 to 1.2 times the channels; in random order."""
    found = [_resized(a, rng) for a in bad for _ in range(NEIGHBOURS)]
    return [found[i] for i in rng.permutation(len(found)) if _cheap(found[i])]


def _resized(a: Attributes, rng: np.random.Generator) -> Attributes:
    def scaled(c: int) -> int:
        return max(1, int(c * rng.uniform(LOWEST, HIGHEST)))

    c_in = tuple(scaled(c) for c in a.c_in)
    tied = a.c_out and a.kind not in ("conv", "fc")
    return Attributes(
        a.kind, a.hw, c_in, c_in[0] if tied else a.c_out and scaled(a.c_out), a.kernel, a.stride
    )


def _draw(rows: Sequence[Attributes], rng: np.random.Generator) -> Attributes:
    for _ in range(_TRIES):
        drawn = _draw_any(rows, rng)
        if _cheap(drawn):
            return drawn
    return rows[int(rng.integers(len(rows)))]


def _draw_any(rows: Sequence[Attributes], rng: np.random.Generator) -> Attributes:
    kind = rows[0].kind
    hw, kernel, stride = (
        _snapped([getattr(a, name) for a in rows], rng) for name in ("hw", "kernel", "stride")
    )
    if rng.random() < FREQUENT.get(kind, 0.0):
        counts = Counter((a.hw, a.kernel, a.stride) for a in rows).most_common(_MOST_FREQUENT)
        hw, kernel, stride = counts[int(rng.integers(len(counts)))][0]
    channels = [c for a in rows for c in a.c_in]
    n = len(rows[int(rng.integers(len(rows)))].c_in)
    c_in = tuple(max(1, round(inverse_cdf(channels, rng))) for _ in range(n))
    c_out = max(1, round(inverse_cdf([a.c_out for a in rows], rng))) if rows[0].c_out else 0
    return Attributes(kind, hw, c_in, c_out if kind in ("conv", "fc") else c_out and c_in[0], kernel, stride)


def inverse_cdf(values: Sequence[int], rng: np.random.Generator) -> float:
    """One draw from the histogram of the values, straight inside a bin."""
    counts, edges = np.histogram(values, bins=BINS)
    below = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
    return float(np.interp(rng.random(), below, edges))


def _snapped(values: Sequence[int], rng: np.random.Generator) -> int:
    legal: NDArray[np.int64] = np.unique(values)
    return int(legal[np.abs(legal - inverse_cdf(values, rng)).argmin()])


def _cheap(a: Attributes) -> bool:
    kernel = as_kernel(a)
    weights = sum(prod(x.shape) for x in kernel.inputs if x.role == "weight")
    sizes = [prod(x.shape) for x in (*kernel.inputs, *kernel.outputs) if x.role == "activation"]
    per_output = prod(kernel.inputs[1].shape[1:]) if a.kind in ("conv", "dwconv") else 1
    macs = sum(prod(x.shape) for x in kernel.outputs) * per_output
    return weights <= MOST_WEIGHTS and max(sizes) <= MOST_ELEMENTS and macs <= MOST_MACS


_OPS = {
    "maxpool": "MaxPool",
    "avgpool": "AveragePool",
    "gap": "GlobalAveragePool",
    "relu": "Relu",
    "hswish": "HardSwish",
    "bn": "BatchNormalization",
    "add": "Add",
    "concat": "Concat",
    "split": "Split",
}


def as_kernel(a: Attributes) -> Kernel:
    """The kernel of these attributes, as if a network had run it: square, batch 1, padded by kernel // 2."""
    c = a.c_in[0]
    x = _argument("activation", (1, c, a.hw, a.hw))
    if a.kind == "fc":
        given = [_argument("activation", (1, c)), _argument("weight", (a.c_out, c))]
        bias = _argument("weight", (a.c_out,))
        return lone_kernel("Gemm", [*given, bias], [_argument("activation", (1, a.c_out))], transB=1)
    out = (a.hw + 2 * (a.kernel // 2) - a.kernel) // max(a.stride, 1) + 1
    window = {
        "kernel_shape": [a.kernel] * 2,
        "strides": [max(a.stride, 1)] * 2,
        "pads": [a.kernel // 2] * 4,
    }
    if a.kind in ("conv", "dwconv"):
        groups = c if a.kind == "dwconv" else 1
        shapes = [(a.c_out, c // groups, a.kernel, a.kernel), (a.c_out,)]
        given = [x, *(_argument("weight", s) for s in shapes)]
        result = _argument("activation", (1, a.c_out, out, out))
        return lone_kernel("FusedConv", given, [result], **window, group=groups, activation="Relu")
    op = _OPS[a.kind]
    if a.kind in ("maxpool", "avgpool"):
        return lone_kernel(op, [x], [_argument("activation", (1, c, out, out))], **window)
    if a.kind == "gap":
        return lone_kernel(op, [x], [_argument("activation", (1, c, 1, 1))])
    if a.kind == "concat":
        given = [_argument("activation", (1, n, a.hw, a.hw)) for n in a.c_in]
        return lone_kernel(op, given, [_argument("activation", (1, sum(a.c_in), a.hw, a.hw))], axis=1)
    if a.kind == "split":
        parts = [_argument("activation", (1, n, a.hw, a.hw)) for n in (c // 2, c - c // 2) if n]
        return lone_kernel(op, [x, _argument("weight", (len(parts),), "int64")], parts, axis=1)
    extra = {"add": [x], "bn": [_argument("weight", (c,))] * 4}.get(a.kind, [])
    return lone_kernel(op, [x, *extra], [x])


def _argument(role: str, shape: tuple[int, ...], element_type: str = "float") -> Argument:
    return Argument(role, element_type, shape)
