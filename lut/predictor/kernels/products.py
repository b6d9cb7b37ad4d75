"""Convolutions and matrix products: the kernels that compute."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .int8 import Window, conv_work, product_work
from .kernel import BLOCKED, Found, bytes_each, given, log1

CONVOLUTIONS = frozenset(
    ("Conv", "FusedConv", "QLinearConv", "ConvInteger", "ConvTranspose", "NhwcFusedConv", "NhwcConv")
)
PRODUCTS = frozenset(
    [
        *("Gemm", "MatMul", "FusedMatMul", "FusedGemm", "QGemm", "QLinearMatMul", "MatMulInteger"),
        *("MatMulIntegerToFloat", "DynamicQuantizeMatMul"),
    ]
)

ACTIVATIONS = (
    "",
    "Relu",
    "Clip",
    "HardSwish",
    "HardSigmoid",
    "Sigmoid",
    "Tanh",
    "LeakyRelu",
    "Gelu",
    "QuickGelu",
)


CONV_NAMES = (
    *("blocked", "channels_last", "bytes_each", "transposed", "batch", "c_in", "c_out", "groups", "group_in"),
    *("group_out", "kernel_h", "kernel_w", "stride", "dilation", "h_out", "w_out", "pixels_out", "w_in"),
    *("in_rest_16", "out_rest_16", "w_rest_6", "has_sum", "activation", "depthwise", "padded"),
)


def conv(one: Mapping[str, Any]) -> Found | None:
    """The numbers of a convolution; None for one of another form than images and a weight."""
    x, y = one["inputs"][0][2], one["outputs"][0][2] if one["outputs"] else []
    w = next((a[2] for a in one["inputs"][1:] if a[0] == "weight" and len(a[2]) >= 3), None)
    if w is None or len(x) != len(w) or len(y) != len(w) or len(x) > 4:
        return None
    attributes, op = one["attributes"], one["op"]
    last = "Nhwc" in op or bool(attributes.get("channels_last"))
    (b, c_in, h_in, w_in), (_, c_out, h_out, w_out) = _nchw(x, last), _nchw(y, last)
    groups = int(attributes.get("group", 1))
    kernel_h, kernel_w = (1, *w[2:])[-2:]
    transposed = op == "ConvTranspose"
    per_group = c_in // max(groups, 1)
    pixels = h_in * w_in if transposed else h_out * w_out
    macs = float(b * pixels * per_group * kernel_h * kernel_w * (c_out // (groups if transposed else 1)))
    blocked = one["domain"] == BLOCKED
    depthwise = groups > 1 and per_group == 1 and c_out == groups
    strides = attributes.get("strides") or [1]
    activation = str(attributes.get("activation", ""))
    each = bytes_each(one)
    values = (
        *(blocked, last, each, transposed, b, c_in, c_out, groups, per_group, c_out / max(groups, 1)),
        *(kernel_h, kernel_w, max(strides), max(attributes.get("dilations") or [1]), h_out, w_out),
        *(log1(pixels), w_in, c_in % 16, c_out % 16, w_out % 6, len(given(one)) > 3 and each == 4),
        *(ACTIVATIONS.index(activation) if activation in ACTIVATIONS else -1, depthwise),
        max(attributes.get("pads") or [0]),
    )
    shape = _shape(kernel_h, kernel_w, c_in, groups, depthwise)
    if each == 1:
        moves = max(strides) > 1 or any(attributes.get("pads") or [0])
        window = Window(kernel_h, kernel_w, max(attributes.get("dilations") or [1]), moves)
        work = conv_work(h_out * w_out, groups, per_group, c_out // groups, window)
        shape += "" if shape in ("grouped", "stem") or work.way == "fused" else f" {work.way}"
        return Found(f"int8 {op} {shape}", macs, b * work.macs, b * work.gathers, values, work.scratch_bytes)
    if groups > 1 and not depthwise and not blocked:
        # A small matrix product per group and pixel: rows too short to fill vectors.
        units = b * pixels * groups
    else:
        # Rows of output times groups of four blocks of output channels and blocks of input channels.
        units = b * h_out * (1 if depthwise else groups * -(-c_out // groups // 64) * -(-per_group // 16))
    name = f"{'blocked' if blocked else 'plain'} {op.removeprefix('Fused')} {shape}"
    return Found(name, macs, macs, float(units), values)


def _shape(kernel_h: int, kernel_w: int, c_in: int, groups: int, depthwise: bool) -> str:
    size = "1x1" if kernel_h * kernel_w == 1 else "3x3" if (kernel_h, kernel_w) == (3, 3) else "large"
    if depthwise:  # 1x1 is what scales and norms become
        return f"depthwise {size}"
    # A stem has too few input channels to fill a vector.
    return "grouped" if groups > 1 else "stem" if c_in < 4 else size


def _nchw(shape: Sequence[int], last: bool) -> tuple[int, int, int, int]:
    if len(shape) == 3:
        shape = [shape[0], shape[1], 1, shape[2]]
    b, c, h, w = (shape[0], shape[3], shape[1], shape[2]) if last else shape
    return int(b), int(c), int(h), int(w)


MATMUL_NAMES = (
    *("bytes_each", "batch", "m", "n", "k", "b_is_weight", "trans_a", "trans_b", "op", "activation"),
    *("log_m", "log_n", "log_k", "n_rest_16", "m_rest_6"),
)


def matmul(one: Mapping[str, Any]) -> Found | None:
    """The numbers of a matrix product; None where a matrix is missing."""
    a, y = one["inputs"][0][2], one["outputs"][0][2] if one["outputs"] else []
    if not a or not y:
        return None
    attributes = one["attributes"]
    trans_a, trans_b = int(attributes.get("transA", 0)), int(attributes.get("transB", 0))
    b_argument = next((x for x in one["inputs"][1:] if len(x[2]) >= 2), None)
    if b_argument is None:
        return None
    n = y[-1]
    k = a[-2] if trans_a and len(a) > 1 else a[-1]
    rows = math.prod(y[:-1])
    batch = 1 if len(b_argument[2]) == 2 else math.prod(y[:-2])
    m = rows // max(batch, 1)
    weight = b_argument[0] == "weight"
    macs = float(rows * n * k)
    activation = str(attributes.get("activation", ""))
    values = (
        *(bytes_each(one), batch, m, n, k, weight, trans_a, trans_b, sorted(PRODUCTS).index(one["op"])),
        *(ACTIVATIONS.index(activation) if activation in ACTIVATIONS else -1,),
        *(log1(m), log1(n), log1(k), n % 16, m % 6),
    )
    form = "vector" if m == 1 and batch == 1 else "weights" if weight else "batched"
    if bytes_each(one) == 1:
        work = product_work(batch, m, n, k)
        return Found(f"int8 matmul {form}", macs, work.macs, work.gathers, values, work.scratch_bytes)
    return Found(f"matmul {form}", macs, macs, float(batch), values)
