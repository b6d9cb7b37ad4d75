"""Convolutions and matrix products: the kernels that compute."""

from __future__ import annotations

import math
from collections.abc import Sequence

from profilers.kernels import Kernel

from .feature_names import ConvFeatures, MatmulFeatures
from .int8 import Window, conv_work, product_work
from .kernel_features import BLOCKED, KernelWork, bytes_each, log1, present

CONVOLUTIONS = frozenset((
    "Conv", "FusedConv", "QLinearConv", "ConvInteger", "ConvTranspose", "NhwcFusedConv", "NhwcConv",
))  # fmt: skip
PRODUCTS = frozenset((
    "Gemm", "MatMul", "FusedMatMul", "FusedGemm", "QGemm", "QLinearMatMul", "MatMulInteger",
    "MatMulIntegerToFloat", "DynamicQuantizeMatMul",
))  # fmt: skip

ACTIVATIONS = (
    "", "Relu", "Clip", "HardSwish", "HardSigmoid", "Sigmoid", "Tanh", "LeakyRelu", "Gelu", "QuickGelu",
)  # fmt: skip
"""The place of an activation is its feature: new ones go to the end."""


def conv(kernel: Kernel) -> KernelWork | None:
    """The work of a convolution; None for one of another form than images and a weight."""
    x, y = kernel.inputs[0].shape, kernel.outputs[0].shape if kernel.outputs else ()
    weights = [a for a in kernel.inputs[1:] if len(a.shape) >= 3]
    # A network may compute the weights of its convolutions, or take them as an input.
    w = next((a.shape for a in sorted(weights, key=lambda a: a.role != "weight")), None)
    if w is None or len(x) != len(w) or len(y) != len(w) or len(x) > 4:
        return None
    attributes, op = kernel.attributes, kernel.op
    last = "Nhwc" in op or bool(attributes.get("channels_last"))
    (b, c_in, h_in, w_in), (_, c_out, h_out, w_out) = _nchw(x, last), _nchw(y, last)
    groups = int(attributes.get("group", 1))
    kernel_h, kernel_w = (1, *w[2:])[-2:]
    transposed = op == "ConvTranspose"
    per_group = c_in // max(groups, 1)
    pixels = h_in * w_in if transposed else h_out * w_out
    macs = float(b * pixels * per_group * kernel_h * kernel_w * (c_out // (groups if transposed else 1)))
    blocked = kernel.domain == BLOCKED
    depthwise = groups > 1 and per_group == 1 and c_out == groups
    stride = max(attributes.get("strides") or [1])
    dilation = max(attributes.get("dilations") or [1])
    pads = attributes.get("pads") or [0]
    each = bytes_each(kernel)
    specific = ConvFeatures(
        blocked=blocked,
        channels_last=last,
        bytes_each=each,
        transposed=transposed,
        batch=b,
        c_in=c_in,
        c_out=c_out,
        groups=groups,
        group_in=per_group,
        group_out=c_out / max(groups, 1),
        kernel_h=kernel_h,
        kernel_w=kernel_w,
        stride=stride,
        dilation=dilation,
        h_out=h_out,
        w_out=w_out,
        pixels_out=log1(pixels),
        w_in=w_in,
        in_rest_16=c_in % 16,
        out_rest_16=c_out % 16,
        w_rest_6=w_out % 6,
        has_sum=len(present(kernel)) > 3 and each == 4,
        activation=_activation(kernel),
        depthwise=depthwise,
        padded=max(pads),
    )
    shape = _shape(kernel_h, kernel_w, c_in, groups, depthwise)
    if each == 1:
        window = Window(kernel_h, kernel_w, dilation, moves=stride > 1 or any(pads))
        work = conv_work(h_out * w_out, groups, per_group, c_out // groups, window)
        shape += "" if shape in ("grouped", "stem") or work.way == "fused" else f" {work.way}"
        return KernelWork(
            kind=f"int8 {op} {shape}",
            macs=macs,
            executed=b * work.macs,
            units=b * work.gathers,
            specific=specific,
            scratch_bytes=work.scratch_bytes,
        )
    if groups > 1 and not depthwise and not blocked:
        # A small matrix product per group and pixel: rows too short to fill vectors.
        units = b * pixels * groups
    else:
        # Rows of output times groups of four blocks of output channels and blocks of input channels.
        units = b * h_out * (1 if depthwise else groups * -(-c_out // groups // 64) * -(-per_group // 16))
    kind = f"{'blocked' if blocked else 'plain'} {op.removeprefix('Fused')} {shape}"
    return KernelWork(kind=kind, macs=macs, executed=macs, units=float(units), specific=specific)


def _activation(kernel: Kernel) -> int:
    """The place of the fused activation in ACTIVATIONS, -1 for any other."""
    name = str(kernel.attributes.get("activation", ""))
    return ACTIVATIONS.index(name) if name in ACTIVATIONS else -1


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


def matmul(kernel: Kernel) -> KernelWork | None:
    """The work of a matrix product; None where a matrix is missing."""
    a, y = kernel.inputs[0].shape, kernel.outputs[0].shape if kernel.outputs else ()
    if not a or not y:
        return None
    attributes = kernel.attributes
    trans_a, trans_b = int(attributes.get("transA", 0)), int(attributes.get("transB", 0))
    b = next((argument for argument in kernel.inputs[1:] if len(argument.shape) >= 2), None)
    if b is None:
        return None
    n = y[-1]
    k = a[-2] if trans_a and len(a) > 1 else a[-1]
    rows = math.prod(y[:-1])
    batch = 1 if len(b.shape) == 2 else math.prod(y[:-2])
    m = rows // max(batch, 1)
    macs = float(rows * n * k)
    specific = MatmulFeatures(
        bytes_each=bytes_each(kernel),
        batch=batch,
        m=m,
        n=n,
        k=k,
        b_is_weight=b.role == "weight",
        trans_a=trans_a,
        trans_b=trans_b,
        op=sorted(PRODUCTS).index(kernel.op),
        activation=_activation(kernel),
        log_m=log1(m),
        log_n=log1(n),
        log_k=log1(k),
        n_rest_16=n % 16,
        m_rest_6=m % 6,
    )
    form = "vector" if m == 1 and batch == 1 else "weights" if b.role == "weight" else "batched"
    if specific.bytes_each == 1:
        work = product_work(batch, m, n, k)
        return KernelWork(
            kind=f"int8 matmul {form}",
            macs=macs,
            executed=work.macs,
            units=work.gathers,
            specific=specific,
            scratch_bytes=work.scratch_bytes,
        )
    return KernelWork(kind=f"matmul {form}", macs=macs, executed=macs, units=float(batch), specific=specific)
