"""The layers of cell networks: plain modules, no knowledge of any search.

Liu et al. 2019 (DARTS, 1806.09055) and Dong and Yang 2020 (NAS-Bench-201, 2001.00326). One deviation: the two
halves of a factorised reduction have a norm each instead of one after the concatenation. A norm works per
channel, so the function is the same, and the exporter can fold it into the convolution.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .cell_blocks import CellBlock


class ReluConvNorm(nn.Sequential):
    """ReLU, convolution, norm."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int, affine: bool) -> None:
        conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
        super().__init__(nn.ReLU(), conv, nn.BatchNorm2d(c_out, affine=affine))


class Separable(nn.Sequential):
    """ReLU, depthwise and pointwise convolution, norm."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int, dilation: int, affine: bool) -> None:
        padding = dilation * (kernel // 2)
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(c_in, c_in, kernel, stride, padding, dilation, groups=c_in, bias=False),
            nn.Conv2d(c_in, c_out, 1, bias=False),
            nn.BatchNorm2d(c_out, affine=affine),
        )


def shifted(x: Tensor, odd: bool) -> Tensor:
    """X (b, c, h, h) without its first row and column, and with a last one of zeros where h is odd."""
    return F.pad(x, (-1, 1, -1, 1)) if odd else x[:, :, 1:, 1:]


class FactorizedReduce(nn.Module):
    """Half the size by two pointwise convolutions of stride 2, one of them shifted by a pixel."""

    def __init__(self, c_in: int, c_out: int, size: int, affine: bool) -> None:
        super().__init__()
        self.relu, self.odd_size = nn.ReLU(), size % 2 == 1
        for name in ("even", "odd"):
            conv = nn.Conv2d(c_in, c_out // 2, 1, 2, bias=False)
            self.add_module(name, nn.Sequential(conv, nn.BatchNorm2d(c_out // 2, affine=affine)))

    def forward(self, x: Tensor) -> Tensor:
        """X: (b, c_in, h, w) to (b, c_out, h / 2, w / 2), rounded up."""
        x = self.relu(x)
        even, odd = self.get_submodule("even"), self.get_submodule("odd")
        return torch.cat([even(x), odd(shifted(x, self.odd_size))], dim=1)


class Residual(nn.Module):
    """The basic ResNet block with stride 2 between the stages of NAS-Bench-201."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.first = ReluConvNorm(c_in, c_out, 3, 2, affine=True)
        self.second = ReluConvNorm(c_out, c_out, 3, 1, affine=True)
        self.pool = nn.AvgPool2d(2, 2, ceil_mode=True)
        self.shortcut = nn.Conv2d(c_in, c_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """X: (b, c_in, h, w) to (b, c_out, h / 2, w / 2), rounded up."""
        return cast(Tensor, self.shortcut(self.pool(x)) + self.second(self.first(x)))


class Head(nn.Module):
    """Global average and linear classifier, after norm and ReLU where `norm`."""

    def __init__(self, c_in: int, n_classes: int, norm: bool) -> None:
        super().__init__()
        self.norm = nn.Sequential(nn.BatchNorm2d(c_in), nn.ReLU()) if norm else nn.Identity()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classify = nn.Linear(c_in, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """X: (b, c, h, w) to (b, n_classes)."""
        return cast(Tensor, self.classify(self.flatten(self.pool(self.norm(x)))))


class Auxiliary(nn.Sequential):
    """The second classifier of a DARTS network, for training only.

    Pooling is 5 x 5 with stride 3 at 8 px (CIFAR) and stride 2 at 7 px (ImageNet), as published; other sizes
    follow the same rule.
    """

    def __init__(self, c_in: int, size: int, n_classes: int) -> None:
        kernel = min(5, size - 1)
        super().__init__(
            nn.ReLU(),
            nn.AvgPool2d(kernel, size - kernel, count_include_pad=False),
            nn.Conv2d(c_in, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False),
            nn.BatchNorm2d(768),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(768, n_classes),
        )


def make(block: CellBlock, affine: bool, pool_norm: bool) -> nn.Module:
    """The module of `block`; see `CellBlock.module`."""
    c_in, c_out, k, s = block.c_in, block.c_out, block.kernel, block.stride
    if block.kind == "stem":
        return nn.Sequential(nn.Conv2d(c_in, c_out, 3, s, 1, bias=False), nn.BatchNorm2d(c_out))
    if block.kind in ("stem-relu", "nor"):
        return ReluConvNorm(c_in, c_out, k, s, affine or block.kind != "nor")
    if block.kind == "dil":
        return Separable(c_in, c_out, k, s, 2, affine)
    if block.kind == "sep":
        second = Separable(c_out, c_out, k, 1, 1, affine)
        return nn.Sequential(Separable(c_in, c_out, k, s, 1, affine), second)
    if block.kind in ("max", "avg"):
        average = nn.AvgPool2d(3, s, 1, count_include_pad=False)
        pool = nn.MaxPool2d(3, s, 1) if block.kind == "max" else average
        return nn.Sequential(pool, nn.BatchNorm2d(c_out, affine=affine)) if pool_norm else pool
    if block.kind == "reduce":
        return FactorizedReduce(c_in, c_out, block.size, affine)
    if block.kind == "norm":
        return nn.BatchNorm2d(c_in, affine=affine)
    if block.kind.startswith("macro-"):
        return _macro(block, affine)
    if block.kind == "residual":
        return Residual(c_in, c_out)
    return Head(c_in, block.n_classes, norm=block.kind == "head-norm")


def _macro(block: CellBlock, affine: bool) -> nn.Module:
    """Pointwise convolution, norm, ReLU; then an operation of ENAS (Pham et al. 2018, section 2.3)."""
    c, k = block.c_out, block.kernel
    first = [nn.Conv2d(block.c_in, c, 1, bias=False), nn.BatchNorm2d(c, affine=affine), nn.ReLU()]
    if block.kind == "macro-max":
        return nn.Sequential(*first, nn.MaxPool2d(3, 1, 1))
    if block.kind == "macro-avg":
        return nn.Sequential(*first, nn.AvgPool2d(3, 1, 1, count_include_pad=False))
    convs = [nn.Conv2d(c, c, k, padding=k // 2, bias=False)]
    if block.kind == "macro-sep":
        convs = [nn.Conv2d(c, c, k, padding=k // 2, groups=c, bias=False), nn.Conv2d(c, c, 1, bias=False)]
    return nn.Sequential(*first, *convs, nn.BatchNorm2d(c, affine=affine), nn.ReLU())
