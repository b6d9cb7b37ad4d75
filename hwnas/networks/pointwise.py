"""Pointwise convolutions with a stride that oneDNN trains without writing outside its memory.

The weight gradient of a 1 × 1 convolution with stride 2 and few input channels, channels last, overruns
oneDNN's scratch memory and corrupts the heap (oneDNN issue 6035, seen with torch 2.14 on AVX2). Taking
every second pixel first and convolving without a stride is the same function.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNEL_BLOCK = 8 if torch.backends.cpu.get_cpu_capability() == "AVX2" else 16
"""Input channels from which oneDNN's kernels for this CPU are right: 8 with AVX2, 16 with AVX-512.

A constant, because torch.compile cannot ask for the capability.
"""


def _overruns(weight: Tensor, stride: int) -> bool:
    few = weight.shape[1] < CHANNEL_BLOCK
    return stride > 1 and weight.shape[2:] == (1, 1) and few and weight.device.type == "cpu"


def conv2d(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """`F.conv2d` without bias for training: x (b, c_in, h, w), weight (c_out, c_in, k, k).

    Returns (b, c_out, ceil(h / stride), ceil(w / stride)) where `padding` is k // 2.
    """
    if _overruns(weight, stride):
        return F.conv2d(x[:, :, ::stride, ::stride], weight)
    return F.conv2d(x, weight, None, stride, padding)


class Conv2d(nn.Conv2d):
    """`nn.Conv2d` without bias that trains by `conv2d`; in eval mode, as when exported, it is the plain one.

    c_in, c_out: channels.
    kernel: odd side of the square kernel; padding keeps the size, up to the stride.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int) -> None:
        super().__init__(c_in, c_out, kernel, stride, kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: (b, c_in, h, w) to (b, c_out, h / stride, w / stride), rounded up."""
        if not self.training:
            return super().forward(x)
        return conv2d(x, self.weight, self.stride[0], self.kernel_size[0] // 2)
