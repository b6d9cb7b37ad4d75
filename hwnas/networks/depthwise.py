"""Depthwise convolution with a backward pass that is fast on small maps on a CPU.

oneDNN's weight gradient of a depthwise convolution reaches 1.4 GMAC/s for kernels of 5 and 7, against
20 for kernel 3; at 32 px it was half of a training step. On a small map all pairs (input pixel, output
pixel) are few, so one batched matrix product correlates them, and a 0/1 matrix sums each pair into the
kernel weight that joins it. Forward and input gradient stay oneDNN's. `benchmarks/depthwise.py` prints
the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_LEAST_KERNEL = 5
_LARGEST_MAP = 8


def depthwise_conv2d(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """`F.conv2d` of x (b, c, h, w) with one kernel per channel (c, 1, k, k), k odd, padding k // 2."""
    small = max(x.shape[2:]) <= _LARGEST_MAP and weight.shape[-1] >= _LEAST_KERNEL
    if small and weight.requires_grad and torch.is_grad_enabled() and x.device.type == "cpu":
        out: Tensor = _SmallMap.apply(x, weight, stride)
        return out
    return F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, groups=weight.shape[0])


@contextmanager
def fast_depthwise(module: nn.Module) -> Iterator[None]:
    """Inside the block the depthwise layers of `module` train by `depthwise_conv2d`."""
    changed = []
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and _is_plain_depthwise(layer):
            layer.forward = _forward_of(layer)  # type: ignore[method-assign]
            changed.append(layer)
    try:
        yield
    finally:
        for layer in changed:
            del layer.forward


def _is_plain_depthwise(layer: nn.Conv2d) -> bool:
    kernel = layer.kernel_size[0]
    return (
        layer.groups == layer.in_channels == layer.out_channels
        and layer.bias is None
        and layer.kernel_size == (kernel, kernel)
        and layer.padding == (kernel // 2, kernel // 2)
        and layer.dilation == (1, 1)
        and layer.stride[0] == layer.stride[1]
        and layer.padding_mode == "zeros"
    )


def _forward_of(layer: nn.Conv2d) -> Any:
    return lambda x: depthwise_conv2d(x, layer.weight, layer.stride[0])


class _SmallMap(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, groups=weight.shape[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, flow: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        to_x = to_weight = None
        if ctx.needs_input_grad[0]:
            k, c = weight.shape[-1], weight.shape[0]
            strides, padding = [ctx.stride] * 2, [k // 2] * 2
            to_x = torch.ops.aten.convolution_backward(
                flow, x, weight, None, strides, padding, [1, 1], False, [0, 0], c, [True, False, False]
            )[0]
        if ctx.needs_input_grad[1]:
            to_weight = _weight_gradient(x, flow, weight.shape[-1], ctx.stride)
        return to_x, to_weight, None


def _weight_gradient(x: Tensor, flow: Tensor, k: int, stride: int) -> Tensor:
    """x: (b, c, h, w). flow: gradient of the output (b, c, h', w'). Returns (c, 1, k, k)."""
    b, c, h, w = x.shape
    h_out, w_out = flow.shape[2:]
    pixels = _by_channel(x).view(c, b, h * w)
    flows = _by_channel(flow).view(c, b, h_out * w_out)
    pairs = torch.bmm(pixels.transpose(1, 2), flows).view(c, -1)
    return (pairs @ _joins(h, w, h_out, w_out, k, stride).to(pairs.dtype)).view(c, 1, k, k)


def _by_channel(x: Tensor) -> Tensor:
    """(b, c, h, w) as (c, b h w), by one transposition where x is channels_last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]).t().contiguous()


@cache
def _joins(h: int, w: int, h_out: int, w_out: int, k: int, stride: int) -> Tensor:
    """(h w h' w', k k): 1 where the kernel weight joins the input pixel to the output pixel."""
    rows, columns = _joins_1d(h, h_out, k, stride), _joins_1d(w, w_out, k, stride)
    joined = torch.einsum("aoi,bpj->abopij", rows, columns)
    return joined.reshape(h * w * h_out * w_out, k * k)


def _joins_1d(n: int, n_out: int, k: int, stride: int) -> Tensor:
    """(n, n', k): 1 where input = output * stride + offset - k // 2."""
    inputs, outputs, offsets = torch.arange(n), torch.arange(n_out), torch.arange(k)
    reached = outputs[:, None] * stride + offsets[None, :] - k // 2
    return (inputs[:, None, None] == reached[None]).float()
