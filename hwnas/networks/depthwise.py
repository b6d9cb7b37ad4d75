"""Depthwise convolution with a backward pass that is fast on a CPU.

oneDNN's weight gradient of a depthwise convolution reaches 20 GMAC/s for kernels of width 3 or less, and a
tenth of that for wider ones; with dilation its whole backward pass is as slow. So wide kernels are split
into columns of width 3, each an ordinary convolution of a shifted input, and a dilated convolution is an
undilated one of the four phases of its input (every second row and column). On the smallest maps one batched
matrix product of all pairs (input pixel, output pixel), summed by a 0/1 matrix into the kernel weight that
joins them, is faster still. All of it is exact and can be differentiated again. `benchmarks/depthwise.py`
prints the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LEAST_KERNEL = 5
_TINY_MAP = 4
_COLUMNS = 3


def depthwise_conv2d(x: Tensor, weight: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """`F.conv2d` of x (b, c, h, w) with a kernel per channel, padded by half of it.

    weight: (c, 1, k, k), k odd, or (c, 1, 1, k) where x is a signal.
    """
    fast = weight.requires_grad or x.requires_grad
    fast = fast and torch.is_grad_enabled() and x.device.type == "cpu"
    fast = fast and not torch.is_autocast_enabled("cpu")  # its backward pass has one type
    if fast and dilation == 2 and splits(x, stride):
        y = depthwise_conv2d(to_phases(x, stride), weight)
        return y if stride == 2 else from_phases(y)
    if fast and dilation == 1 and _gains(x, weight.shape[-1], stride):
        out: Tensor = _Fast.apply(x, weight, stride)
        return out
    padding = [dilation * half for half in halves(weight)]
    return F.conv2d(x, weight, None, stride, padding, dilation, groups=weight.shape[0])


def halves(weight: Tensor) -> tuple[int, int]:
    """The padding that keeps the size of what a kernel (…, h, w) reads."""
    return weight.shape[-2] // 2, weight.shape[-1] // 2


def _gains(x: Tensor, kernel: int, stride: int) -> bool:
    """Where oneDNN is slower: at kernel 7 columns of stride 2 are slow too."""
    tiny = max(x.shape[2:]) <= stride * _TINY_MAP
    return kernel >= _LEAST_KERNEL and (tiny or stride == 1 or kernel == _LEAST_KERNEL)


def splits(x: Tensor, stride: int) -> bool:
    """Whether `to_phases` takes x (b, c, h, w): stride 1 needs even sides."""
    return stride == 2 or (x.shape[2] % 2 == 0 and x.shape[3] % 2 == 0)


def to_phases(x: Tensor, stride: int) -> Tensor:
    """What a convolution with dilation 2 and an even padding reads as an undilated one.

    x: (b, c, h, w). Stride 1: the four phases as images, (4 b, c, h / 2, w / 2). Stride 2: the even one
    alone.
    """
    if stride == 2:
        return x[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last)
    b, c, h, w = x.shape
    y = x.permute(0, 2, 3, 1).reshape(b, h // 2, 2, w // 2, 2, c).permute(2, 4, 0, 1, 3, 5)
    return y.reshape(4 * b, h // 2, w // 2, c).permute(0, 3, 1, 2)


def from_phases(y: Tensor) -> Tensor:
    """The inverse of `to_phases` with stride 1."""
    b, c, h, w = y.shape
    x = y.permute(0, 2, 3, 1).reshape(2, 2, b // 4, h, w, c).permute(2, 3, 0, 4, 1, 5)
    return x.reshape(b // 4, 2 * h, 2 * w, c).permute(0, 3, 1, 2)


@contextmanager
def fast_depthwise(module: nn.Module) -> Iterator[None]:
    """Inside the block the depthwise layers of `module` train by `depthwise_conv2d`."""
    changed = []
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and _is_plain_depthwise(layer):
            layer.forward = _forward_of(layer)  # type: ignore[method-assign]  # undone below
            changed.append(layer)
    try:
        yield
    finally:
        for layer in changed:
            del layer.forward


def _is_plain_depthwise(layer: nn.Conv2d) -> bool:
    height, width = layer.kernel_size
    return (
        layer.groups == layer.in_channels == layer.out_channels
        and layer.bias is None
        and height in (1, width)
        and layer.dilation in ((1, 1), (2, 2))
        and layer.padding == (layer.dilation[0] * (height // 2), layer.dilation[1] * (width // 2))
        and (layer.stride[0] == layer.stride[1] or (height, layer.stride[0]) == (1, 1))
        and layer.padding_mode == "zeros"
    )


def _forward_of(layer: nn.Conv2d) -> Any:
    def forward(x: Tensor) -> Tensor:
        if x.shape[2] > 1 and layer.stride[0] != layer.stride[1]:  # the fast one has one stride for both
            return nn.Conv2d.forward(layer, x)
        return depthwise_conv2d(x, layer.weight, layer.stride[1], layer.dilation[1])

    return forward


class _Fast(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, stride: int) -> Tensor:
        return F.conv2d(x, weight, None, stride, halves(weight), groups=weight.shape[0])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        x, weight, ctx.stride = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, flow: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        to_x = to_weight = None
        if ctx.needs_input_grad[0]:
            to_x = _input_gradient(x, weight, flow, ctx.stride)
        if ctx.needs_input_grad[1]:
            tiny = max(flow.shape[2:]) <= _TINY_MAP
            gradient = _gradient_by_pairs if tiny else _gradient_by_columns
            to_weight = gradient(x, flow, weight.shape[-2:], ctx.stride)
        return to_x, to_weight, None


def _input_gradient(x: Tensor, weight: Tensor, flow: Tensor, stride: int) -> Tensor:
    """With stride 1 the convolution with the kernel turned round, which is faster than oneDNN's own."""
    if stride == 1:
        return depthwise_conv2d(flow, weight.flip(2, 3))
    return _convolution_backward(flow, x, weight, stride, halves(weight), 0)


def _gradient_by_columns(x: Tensor, flow: Tensor, kernel: Sequence[int], stride: int) -> Tensor:
    """As `_gradient_by_pairs`, by kernels of at most three columns on shifted inputs."""
    height, k = kernel
    parts = []
    for first in range(0, k, _COLUMNS):
        last = min(first + _COLUMNS, k) - 1
        shifted = F.pad(x, (k // 2 - first, last - k // 2))
        like = x.new_empty(x.shape[1], 1, height, last - first + 1)
        parts.append(_convolution_backward(flow, shifted, like, stride, (height // 2, 0), 1))
    return torch.cat(parts, dim=3)


def _convolution_backward(
    flow: Tensor, x: Tensor, weight: Tensor, stride: int, padding: tuple[int, int], which: int
) -> Tensor:
    """The gradient of the input (which = 0) or the weight (1) of a depthwise convolution."""
    mask = [which == 0, which == 1, False]
    gradient: Tensor = torch.ops.aten.convolution_backward(
        flow, x, weight, None, [stride] * 2, list(padding), [1, 1], False, [0, 0], weight.shape[0], mask
    )[which]
    return gradient


def _gradient_by_pairs(x: Tensor, flow: Tensor, kernel: Sequence[int], stride: int) -> Tensor:
    """x: (b, c, h, w). flow: gradient of the output (b, c, h', w'). Returns (c, 1, *kernel)."""
    b, c, h, w = x.shape
    h_out, w_out = flow.shape[2:]
    pixels = _by_channel(x).view(c, b, h * w)
    flows = _by_channel(flow).view(c, b, h_out * w_out)
    pairs = torch.bmm(pixels.transpose(1, 2), flows).view(c, -1)
    joins = _joins(h, w, h_out, w_out, kernel[0], kernel[1], stride)
    return (pairs @ joins.to(pairs.dtype)).view(c, 1, *kernel)


def _by_channel(x: Tensor) -> Tensor:
    """(b, c, h, w) as (c, b h w), by one transposition where x is channels_last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]).t().contiguous()


@cache
def _joins(h: int, w: int, h_out: int, w_out: int, k_h: int, k_w: int, stride: int) -> Tensor:
    """(h w h' w', k_h k_w): 1 where the kernel weight joins the input pixel to the output pixel."""
    rows, columns = _joins_1d(h, h_out, k_h, stride), _joins_1d(w, w_out, k_w, stride)
    joined = torch.einsum("aoi,bpj->abopij", rows, columns)
    return joined.reshape(h * w * h_out * w_out, k_h * k_w)


def _joins_1d(n: int, n_out: int, k: int, stride: int) -> Tensor:
    """(n, n', k): 1 where input = output * stride + offset - k // 2."""
    inputs, outputs, offsets = torch.arange(n), torch.arange(n_out), torch.arange(k)
    reached = outputs[:, None] * stride + offsets[None, :] - k // 2
    return (inputs[:, None, None] == reached[None]).float()
