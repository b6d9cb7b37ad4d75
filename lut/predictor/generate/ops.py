"""The operators as torch's TorchScript exporter writes them at opset 17.

Batch normalisation is folded into the convolution before it, as the exporter does in eval mode; `batch_norm`
is for the places where there is none. SiLU is Sigmoid and Mul, GELU five nodes, a linear layer on tokens
MatMul and Add: what the runtime fuses of it is the runtime's.
"""

from __future__ import annotations

from math import prod, sqrt

from .graph import GraphBuilder, Value
from .moves import reshape, transpose

KernelSize = int | tuple[int, int]


def conv(
    g: GraphBuilder,
    x: Value,
    c: int,
    kernel: KernelSize = 1,
    stride: int = 1,
    *,
    groups: int = 1,
    dilation: int = 1,
    pad: int | None = None,
    bias: bool = True,
) -> Value:
    """Convolution; pad None keeps the size for odd kernels. x: (b, ci, h, w) -> (b, c, h', w')."""
    ks = _pair(kernel)
    pads = [dilation * (k - 1) // 2 if pad is None else pad for k in ks]
    hw = [(n + 2 * p - dilation * (k - 1) - 1) // stride + 1 for n, p, k in zip(x.hw, pads, ks, strict=True)]
    fan_in = x.c // groups * prod(ks)
    inputs = [x, g.weight((c, x.c // groups, *ks), sqrt(1.6 / fan_in))]
    if bias:
        inputs.append(g.weight((c,), 0.1))
    shape = (x.shape[0], c, *hw)
    g.macs += prod(shape) * fan_in
    return g.node(
        "Conv",
        inputs,
        shape,
        dilations=[dilation] * 2,
        group=groups,
        kernel_shape=list(ks),
        pads=pads * 2,
        strides=[stride] * 2,
    )


def conv_transpose(g: GraphBuilder, x: Value, c: int, kernel: int = 2, stride: int = 2) -> Value:
    """Transposed convolution that multiplies height and width by stride."""
    pad = (kernel - stride) // 2
    hw = [(n - 1) * stride - 2 * pad + kernel for n in x.hw]
    weights = [g.weight((x.c, c, kernel, kernel), sqrt(1.0 / x.c)), g.weight((c,), 0.1)]
    g.macs += x.size * c * kernel * kernel
    return g.node(
        "ConvTranspose",
        [x, *weights],
        (x.shape[0], c, *hw),
        dilations=[1, 1],
        group=1,
        kernel_shape=[kernel] * 2,
        pads=[pad] * 4,
        strides=[stride] * 2,
    )


def act(g: GraphBuilder, x: Value, name: str) -> Value:
    """Activation by its name in torch.nn, lower case; "none" is the value itself."""
    if name == "none":
        return x
    if name == "relu6":
        return g.node("Clip", [x, g.constant(0.0), g.constant(6.0)], x.shape)
    if name == "silu":
        return mul(g, x, g.node("Sigmoid", [x], x.shape))
    if name == "mish":
        return mul(g, x, g.node("Tanh", [g.node("Softplus", [x], x.shape)], x.shape))
    if name == "gelu":
        erf = g.node("Erf", [g.node("Div", [x, g.constant(sqrt(2.0))], x.shape)], x.shape)
        one_plus = g.node("Add", [erf, g.constant(1.0)], x.shape)
        return scale(g, g.node("Mul", [x, one_plus], x.shape), 0.5)
    if name == "prelu":
        return g.node("PRelu", [x, g.weight((x.c, 1, 1), 0.02, 0.25)], x.shape)
    op, attributes = _PLAIN[name]
    return g.node(op, [x], x.shape, **attributes)


_PLAIN: dict[str, tuple[str, dict[str, float]]] = {
    "relu": ("Relu", {}),
    "hardswish": ("HardSwish", {}),
    "hardsigmoid": ("HardSigmoid", {"alpha": 1 / 6}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "leakyrelu": ("LeakyRelu", {"alpha": 0.1}),
    "elu": ("Elu", {"alpha": 1.0}),
}


def batch_norm(g: GraphBuilder, x: Value) -> Value:
    """Inference batch normalisation that has no convolution before it to be folded into."""
    shape = (x.c,)
    mean, variance = g.weight(shape, 0.1), g.weight(shape, 0.02, 1.0)
    inputs = [x, g.weight(shape, 0.02, 1.0), g.weight(shape, 0.1), mean, variance]
    return g.node("BatchNormalization", inputs, x.shape, epsilon=1e-5, momentum=0.9)


def layer_norm(g: GraphBuilder, x: Value) -> Value:
    """Over the last axis."""
    inputs = [x, g.weight(x.shape[-1:], 0.02, 1.0), g.weight(x.shape[-1:], 0.1)]
    return g.node("LayerNormalization", inputs, x.shape, axis=-1, epsilon=1e-6)


def group_norm(g: GraphBuilder, x: Value, groups: int) -> Value:
    """As the exporter writes torch's GroupNorm: InstanceNormalization of (b, groups, -1), scale, shift."""
    flat = reshape(g, x, (x.shape[0], groups, x.size // x.shape[0] // groups))
    inputs = [flat, g.weight((groups,), 0.0, 1.0), g.weight((groups,), 0.0)]
    normal = reshape(g, g.node("InstanceNormalization", inputs, flat.shape, epsilon=1e-5), x.shape)
    scaled = mul(g, normal, g.weight((x.c, 1, 1), 0.02, 1.0))
    return add(g, scaled, g.weight((x.c, 1, 1), 0.1))


def layer_norm_2d(g: GraphBuilder, x: Value) -> Value:
    """Over the channels of a map, by way of channels last."""
    last = transpose(g, x, (0, 2, 3, 1))
    return transpose(g, layer_norm(g, last), (0, 3, 1, 2))


def linear(g: GraphBuilder, x: Value, c: int, *, bias: bool = True) -> Value:
    """Linear layer on the last axis of tokens: MatMul, and Add with the bias first."""
    fan_in, shape = x.shape[-1], (*x.shape[:-1], c)
    g.macs += x.size * c
    y = g.node("MatMul", [x, g.weight((fan_in, c), sqrt(1.6 / fan_in))], shape)
    return g.node("Add", [g.weight((c,), 0.1), y], shape) if bias else y


def gemm(g: GraphBuilder, x: Value, c: int) -> Value:
    """Linear layer on a matrix."""
    n, fan_in = x.shape
    g.macs += n * fan_in * c
    weights = [g.weight((c, fan_in), sqrt(1.6 / fan_in)), g.weight((c,), 0.1)]
    return g.node("Gemm", [x, *weights], (n, c), alpha=1.0, beta=1.0, transB=1)


def matmul(g: GraphBuilder, a: Value, b: Value) -> Value:
    """Batched product of two values. (..., m, k) x (..., k, n)."""
    g.macs += a.size * b.shape[-1]
    return g.node("MatMul", [a, b], (*a.shape[:-1], b.shape[-1]))


def add(g: GraphBuilder, a: Value, b: Value) -> Value:
    """A + b, with broadcasting."""
    return g.node("Add", [a, b], _broadcast(a, b))


def sub(g: GraphBuilder, a: Value, b: Value) -> Value:
    """A - b, with broadcasting."""
    return g.node("Sub", [a, b], _broadcast(a, b))


def mul(g: GraphBuilder, a: Value, b: Value) -> Value:
    """A * b, with broadcasting."""
    return g.node("Mul", [a, b], _broadcast(a, b))


def div(g: GraphBuilder, a: Value, b: Value) -> Value:
    """A / b, with broadcasting."""
    return g.node("Div", [a, b], _broadcast(a, b))


def scale(g: GraphBuilder, x: Value, factor: float) -> Value:
    """X times a number."""
    return g.node("Mul", [x, g.constant(factor)], x.shape)


def softmax(g: GraphBuilder, x: Value, axis: int = -1) -> Value:
    """Over one axis."""
    return g.node("Softmax", [x], x.shape, axis=axis)


def global_pool(g: GraphBuilder, x: Value, form: str = "GlobalAveragePool") -> Value:
    """(b, c, h, w) -> (b, c, 1, 1): AdaptiveAvgPool2d(1) or mean((2, 3), keepdim=True)."""
    shape = (*x.shape[:2], 1, 1)
    if form == "GlobalAveragePool":
        return g.node("GlobalAveragePool", [x], shape)
    return g.node("ReduceMean", [x], shape, axes=[2, 3], keepdims=1)


def reduce_sum(g: GraphBuilder, x: Value, axis: int) -> Value:
    """Sum over one axis, which disappears."""
    shape = x.shape[:axis] + x.shape[axis + 1 :]
    return g.node("ReduceSum", [x, g.constant([axis])], shape, keepdims=0)


def pool(
    g: GraphBuilder,
    x: Value,
    kind: str,
    kernel: int,
    stride: int,
    *,
    pad: int | None = None,
    ceil: bool = False,
) -> Value:
    """MaxPool or AveragePool; pad None is kernel // 2 for odd kernels and 0 for even ones."""
    p = (kernel // 2 if kernel % 2 else 0) if pad is None else pad
    shape = (*x.shape[:2], *(_pooled(n, kernel, stride, p, ceil) for n in x.hw))
    extra = {"dilations": [1, 1]} if kind == "MaxPool" else {"count_include_pad": 1}
    return g.node(
        kind,
        [x],
        shape,
        ceil_mode=int(ceil),
        kernel_shape=[kernel] * 2,
        pads=[p] * 4,
        strides=[stride] * 2,
        **extra,
    )


def _pooled(n: int, kernel: int, stride: int, pad: int, ceil: bool) -> int:
    span = n + 2 * pad - kernel
    if not ceil:
        return span // stride + 1
    out = -(-span // stride) + 1
    return out - 1 if (out - 1) * stride >= n + pad else out  # no window starts in the padding


def _pair(value: KernelSize) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _broadcast(a: Value, b: Value) -> tuple[int, ...]:
    rank = max(len(a.shape), len(b.shape))
    shapes = [(1,) * (rank - len(t.shape)) + t.shape for t in (a, b)]
    return tuple(max(m, n) for m, n in zip(*shapes, strict=True))
