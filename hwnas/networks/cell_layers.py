"""The layers of cell networks: plain modules, no knowledge of any search.

Liu et al. 2019 (DARTS, 1806.09055) and Dong and Yang 2020 (NAS-Bench-201, 2001.00326). One deviation: the two
halves of a factorised reduction have a norm each instead of one after the concatenation. A norm works per
channel, so the function is the same, and the exporter can fold it into the convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .cell_blocks import CellBlock
from .pointwise import Conv2d


class ReluConvNorm(nn.Sequential):
    """ReLU, convolution, norm."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int, affine: bool) -> None:
        conv = Conv2d(c_in, c_out, kernel, stride)
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
    """`x` (b, c, h, h) without its first row and column, and with a last one of zeros where h is odd."""
    return F.pad(x, (-1, 1, -1, 1)) if odd else x[:, :, 1:, 1:]


class FactorizedReduce(nn.Module):
    """Half the size by two pointwise convolutions of stride 2, one of them shifted by a pixel."""

    def __init__(self, c_in: int, c_out: int, size: int, affine: bool) -> None:
        super().__init__()
        self.relu, self.odd_size = nn.ReLU(), size % 2 == 1
        for name in ("even", "odd"):
            conv = Conv2d(c_in, c_out // 2, 1, 2)
            self.add_module(name, nn.Sequential(conv, nn.BatchNorm2d(c_out // 2, affine=affine)))

    def forward(self, x: Tensor) -> Tensor:
        """x: (b, c_in, h, w) to (b, c_out, h / 2, w / 2), rounded up."""
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
        """x: (b, c_in, h, w) to (b, c_out, h / 2, w / 2), rounded up."""
        return cast(Tensor, self.shortcut(self.pool(x)) + self.second(self.first(x)))


class CellHead(nn.Module):
    """Global average and linear classifier, after norm and ReLU where `norm`."""

    def __init__(self, c_in: int, n_classes: int, norm: bool) -> None:
        super().__init__()
        self.norm = nn.Sequential(nn.BatchNorm2d(c_in), nn.ReLU()) if norm else nn.Identity()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classify = nn.Linear(c_in, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """x: (b, c, h, w) to (b, n_classes)."""
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


def cell_module(block: CellBlock, *, affine: bool = True, pool_norm: bool = False) -> nn.Module:
    """The block as a torch module with fresh weights, input `block.input_shape`.

    affine: whether its norms learn scale and shift. pool_norm: a norm follows a pooling.
    """
    return _MODULES[block.kind](block, affine, pool_norm)


def _stem(block: CellBlock, *_: bool) -> nn.Module:
    conv = nn.Conv2d(block.c_in, block.c_out, 3, block.stride, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(block.c_out))


def _stem_relu(block: CellBlock, *_: bool) -> nn.Module:
    return _conv(block, True)


def _conv(block: CellBlock, affine: bool, *_: bool) -> nn.Module:
    return ReluConvNorm(block.c_in, block.c_out, block.kernel, block.stride, affine)


def _dilated(block: CellBlock, affine: bool, *_: bool) -> nn.Module:
    return Separable(block.c_in, block.c_out, block.kernel, block.stride, 2, affine)


def _separable(block: CellBlock, affine: bool, *_: bool) -> nn.Module:
    first = Separable(block.c_in, block.c_out, block.kernel, block.stride, 1, affine)
    return nn.Sequential(first, Separable(block.c_out, block.c_out, block.kernel, 1, 1, affine))


def _asymmetric(block: CellBlock, affine: bool, *_: bool) -> nn.Module:
    k, c = block.kernel, block.c_out
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(block.c_in, c, (1, k), block.stride, (0, k // 2), bias=False),
        nn.Conv2d(c, c, (k, 1), 1, (k // 2, 0), bias=False),
        nn.BatchNorm2d(c, affine=affine),
    )


def _pool(pool: Callable[[int], nn.Module]) -> _MakeModule:
    def module(block: CellBlock, affine: bool, pool_norm: bool) -> nn.Module:
        pooling = pool(block.stride)
        return nn.Sequential(pooling, nn.BatchNorm2d(block.c_out, affine=affine)) if pool_norm else pooling

    return module


def _macro(after: Callable[[int, int], Sequence[nn.Module]], norm: bool) -> _MakeModule:
    """Pointwise convolution, norm, ReLU; then an operation of ENAS (Pham et al. 2018, section 2.3).

    after: (channels, kernel) -> its layers; norm: whether a norm and a ReLU follow them.
    """

    def module(block: CellBlock, affine: bool, *_: bool) -> nn.Module:
        c = block.c_out
        closing = (nn.BatchNorm2d(c, affine=affine), nn.ReLU())
        first = (nn.Conv2d(block.c_in, c, 1, bias=False), nn.BatchNorm2d(c, affine=affine), nn.ReLU())
        return nn.Sequential(*first, *after(c, block.kernel), *(closing if norm else ()))

    return module


def _max_pool(stride: int) -> nn.Module:
    return nn.MaxPool2d(3, stride, 1)


def _average_pool(stride: int) -> nn.Module:
    return nn.AvgPool2d(3, stride, 1, count_include_pad=False)


def _dense(c: int, kernel: int) -> list[nn.Module]:
    return [nn.Conv2d(c, c, kernel, padding=kernel // 2, bias=False)]


def _depthwise(c: int, kernel: int) -> list[nn.Module]:
    spatial = nn.Conv2d(c, c, kernel, padding=kernel // 2, groups=c, bias=False)
    return [spatial, nn.Conv2d(c, c, 1, bias=False)]


_MakeModule = Callable[[CellBlock, bool, bool], nn.Module]
"""(block, affine, pool_norm) -> its module."""

_MODULES: Mapping[str, _MakeModule] = {
    "stem": _stem,
    "stem-relu": _stem_relu,
    "nor": _conv,
    "asym": _asymmetric,
    "dil": _dilated,
    "sep": _separable,
    "max": _pool(_max_pool),
    "avg": _pool(_average_pool),
    "reduce": lambda block, affine, _: FactorizedReduce(block.c_in, block.c_out, block.size, affine),
    "norm": lambda block, affine, _: nn.BatchNorm2d(block.c_in, affine=affine),
    "residual": lambda block, *_: Residual(block.c_in, block.c_out),
    "head": lambda block, *_: CellHead(block.c_in, block.n_classes, norm=False),
    "head-norm": lambda block, *_: CellHead(block.c_in, block.n_classes, norm=True),
    "macro-conv": _macro(_dense, norm=True),
    "macro-sep": _macro(_depthwise, norm=True),
    "macro-max": _macro(lambda *_: [_max_pool(1)], norm=False),
    "macro-avg": _macro(lambda *_: [_average_pool(1)], norm=False),
}
"""By `CellBlock.kind`."""
