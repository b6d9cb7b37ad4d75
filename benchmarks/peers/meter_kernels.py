"""Kernels as nn-Meter sees them: a type, five attributes at most, and the features made of these.

Re-implemented from its description (Zhang et al. 2021, MobiSys; repository microsoft/nn-Meter 2.0). Kernels
arrive from the optimised graph, so that its own detection cannot be wrong; squeeze-and-excite and channel
shuffle, which it prices as one, arrive in their parts. One spatial size, no groups, no batch, no layout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from profilers.kernels import Kernel


@dataclass(frozen=True, slots=True)
class Attributes:
    """hw: height of the input. c_in: all of them for concat. 0: the type has no such attribute."""

    kind: str
    hw: int
    c_in: tuple[int, ...]
    c_out: int = 0
    kernel: int = 0
    stride: int = 0

    @property
    def features(self) -> tuple[float, ...]:
        """The vector of its type's forest."""
        return tuple(map(float, _FEATURES.get(self.kind, _size)(self)))


def attributes(kernel: Kernel) -> Attributes | None:
    """None for kernels without a predictor."""
    read = _READ.get(kernel.op)
    return read(kernel) if read and kernel.inputs and kernel.outputs else None


def _weighted(a: Attributes) -> tuple[float, ...]:
    per_output = a.kernel**2 * (1 if a.kind == "dwconv" else a.c_in[0]) + 1
    parameters = a.c_out * per_output
    flops = 2 * (a.hw / max(a.stride, 1)) ** 2 * parameters
    return (a.hw, a.c_in[0], a.c_out, a.kernel, a.stride, flops / 2e6, parameters / 1e6)


def _dense(a: Attributes) -> tuple[float, ...]:
    parameters = (a.c_in[0] + 1) * a.c_out
    return (a.c_in[0], a.c_out, 2 * parameters / 2e6, parameters / 1e6)


def _pooled(a: Attributes) -> tuple[float, ...]:
    return (a.hw, a.c_in[0], a.c_out, a.kernel, a.stride)


def _sum(a: Attributes) -> tuple[float, ...]:
    return (a.hw, a.c_in[0], a.c_in[0])


def _joined(a: Attributes) -> tuple[float, ...]:
    return (a.hw, *(*a.c_in, 0, 0, 0)[:4])


def _size(a: Attributes) -> tuple[float, ...]:
    return (a.hw, a.c_in[0])


_FEATURES: Mapping[str, Callable[[Attributes], tuple[float, ...]]] = {
    "conv": _weighted,
    "dwconv": _weighted,
    "fc": _dense,
    "maxpool": _pooled,
    "avgpool": _pooled,
    "add": _sum,
    "concat": _joined,
}


def _read_conv(kernel: Kernel) -> Attributes | None:
    x, w = kernel.inputs[0].shape, next((a.shape for a in kernel.inputs[1:] if len(a.shape) == 4), None)
    if w is None or len(x) != 4:
        return None
    depthwise = int(kernel.attributes.get("group", 1)) == x[1] > 1
    return Attributes("dwconv" if depthwise else "conv", x[2], (x[1],), w[0], w[2], _stride(kernel))


def _read_product(kernel: Kernel) -> Attributes | None:
    w = next((a for a in kernel.inputs[1:] if len(a.shape) == 2), None)
    if w is None or w.role != "weight":
        return None
    c_out = kernel.outputs[0].shape[-1]
    return Attributes("fc", 1, (prod(w.shape) // max(c_out, 1),), c_out)


def _read_pool(kind: str) -> Callable[[Kernel], Attributes | None]:
    def read(kernel: Kernel) -> Attributes | None:
        x = kernel.inputs[0].shape
        size = (kernel.attributes.get("kernel_shape") or [0])[0]
        return Attributes(kind, x[2], (x[1],), x[1], size, _stride(kernel)) if len(x) == 4 else None

    return read


def _read_map(kind: str) -> Callable[[Kernel], Attributes | None]:
    def read(kernel: Kernel) -> Attributes | None:
        x = kernel.inputs[0].shape
        return Attributes(kind, x[2], (x[1],)) if len(x) == 4 else None

    return read


def _read_mean(kernel: Kernel) -> Attributes | None:
    """The mean over a whole map is a global pooling, as other exporters write it."""
    x, y = kernel.inputs[0].shape, kernel.outputs[0].shape
    return Attributes("gap", x[2], (x[1],)) if len(x) == 4 and prod(y) == x[0] * x[1] == prod(y[:2]) else None


def _read_concat(kernel: Kernel) -> Attributes | None:
    shapes = [a.shape for a in kernel.inputs]
    if len(shapes[0]) != 4:
        return None
    return Attributes("concat", shapes[0][2], tuple(s[1] for s in shapes))


def _stride(kernel: Kernel) -> int:
    return int(max(kernel.attributes.get("strides") or [1]))


_READ: Mapping[str, Callable[[Kernel], Attributes | None]] = {
    **dict.fromkeys(("Conv", "FusedConv", "NhwcFusedConv", "QLinearConv"), _read_conv),
    **dict.fromkeys(("Gemm", "FusedGemm", "MatMul", "QGemm"), _read_product),
    "MaxPool": _read_pool("maxpool"),
    "AveragePool": _read_pool("avgpool"),
    "GlobalAveragePool": _read_map("gap"),
    "QLinearGlobalAveragePool": _read_map("gap"),
    "ReduceMean": _read_mean,
    "Relu": _read_map("relu"),
    "Clip": _read_map("relu"),
    "HardSwish": _read_map("hswish"),
    "BatchNormalization": _read_map("bn"),
    "Add": _read_map("add"),
    "QLinearAdd": _read_map("add"),
    "Concat": _read_concat,
    "Split": _read_map("split"),
}
