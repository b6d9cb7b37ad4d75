"""The layers of mobile networks: plain modules, no knowledge of any search.

MBConv: Sandler et al. 2018 (MobileNetV2). Squeeze-and-excite with a hard-sigmoid gate and
HardSwish: Howard et al. 2019 (MobileNetV3, section 5). Fused MBConv: Tan & Le 2021 (EfficientNetV2).
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from .conv import sides
from .mobile_blocks import MobileBlock, Operation, squeeze_channels


def activation(name: str) -> nn.Module:
    """'relu', 'hs' (HardSwish) or 'none'."""
    rows: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "hs": nn.Hardswish, "none": nn.Identity}
    return rows[name]()


class ConvBN(nn.Sequential):
    """Convolution without bias, batch normalisation, activation; padding keeps `size / stride`."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        act: str = "relu",
        dims: int = 2,
    ) -> None:
        """c_in, c_out: channels. kernel: odd side. dims: of the kernel, 1 for signals."""
        conv = nn.Conv2d(
            c_in,
            c_out,
            kernel_size=sides(kernel, dims),
            stride=sides(stride, dims),
            padding=sides(kernel // 2, dims, rest=0),
            groups=groups,
            bias=False,
        )
        super().__init__(conv, nn.BatchNorm2d(c_out), activation(act))


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate computed from all channel means. (b, c, h, w) -> the same."""

    def __init__(self, channels: int) -> None:
        """The bottleneck has `squeeze_channels(channels)` channels."""
        super().__init__()
        squeezed = squeeze_channels(channels)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.relu = nn.ReLU()
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """x: (b, c, h, w)."""
        gate = self.gate(self.expand(self.relu(self.reduce(self.pool(x)))))
        return cast(Tensor, x * gate)


class MBConv(nn.Module):
    """One block of the operation `op`: (b, c_in, h, w) -> (b, c_out, h / stride, w / stride)."""

    def __init__(
        self, op: Operation, c_in: int, c_out: int, stride: int, residual: bool, dims: int = 2
    ) -> None:
        """Residual adds the input to the output; the caller guarantees that the shapes agree."""
        super().__init__()
        mid, self.residual = c_in * op.expand, residual
        self.expand: nn.Module
        if op.kind == "fused":
            self.expand = ConvBN(c_in, mid, op.kernel, stride=stride, act=op.act, dims=dims)
        else:
            self.expand = ConvBN(c_in, mid, 1, act=op.act) if op.expand > 1 else nn.Identity()
            self.depthwise = ConvBN(mid, mid, op.kernel, stride=stride, groups=mid, act=op.act, dims=dims)
        self.squeeze = SqueezeExcite(mid) if op.se else nn.Identity()
        self.project = ConvBN(mid, c_out, 1, act="none")
        self.fused = op.kind == "fused"

    def forward(self, x: Tensor) -> Tensor:
        """x: (b, c_in, h, w)."""
        y = self.expand(x)
        if not self.fused:
            y = self.depthwise(y)
        y = self.project(self.squeeze(y))
        return cast(Tensor, x + y if self.residual else y)


class MobileHead(nn.Module):
    """Pointwise convolution, global average, linear classifier: (b, c, h, w) -> (b, n_classes)."""

    def __init__(self, c_in: int, channels: int, n_classes: int) -> None:
        """Channels: width of the feature vector that the classifier reads."""
        super().__init__()
        self.conv = ConvBN(c_in, channels, 1, act="hs")
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classify = nn.Linear(channels, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """x: (b, c, h, w)."""
        return cast(Tensor, self.classify(self.flatten(self.pool(self.conv(x)))))


class MobileNetwork(nn.Module):
    """Stem, blocks, head in a row: images (b, c, h, w) to logits (b, n_classes), or what the head gives."""

    def __init__(
        self, stem: nn.Module, blocks: list[nn.Module], head: nn.Module, inner: int | None = None
    ) -> None:
        """Blocks in the order in which they run; inner: after how many the head reads their map too."""
        super().__init__()
        self.stem, self.blocks, self.head, self.inner = stem, nn.ModuleList(blocks), head, inner

    def forward(self, x: Tensor) -> Tensor:
        """x: (b, c, h, w), normalised floats."""
        x = self.stem(x)
        maps = [x] if self.inner == 0 else []
        for number, block in enumerate(self.blocks, 1):
            x = block(x)
            if number == self.inner:
                maps.append(x)
        return cast(Tensor, self.head(x, *maps))


def mobile_module(block: MobileBlock) -> nn.Module:
    """The block as a torch module with fresh weights, input `block.input_shape`."""
    if block.kind == "stem":
        return ConvBN(block.c_in, block.c_out, 3, stride=block.stride, act="hs", dims=block.dims)
    if block.kind == "head":
        return MobileHead(block.c_in, block.c_out, block.n_classes)
    return MBConv(block.op, block.c_in, block.c_out, block.stride, block.residual, block.dims)
