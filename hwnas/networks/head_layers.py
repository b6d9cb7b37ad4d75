"""The head of masks as a torch module; `mask_head` says what it is and what it costs."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from .head_shapes import HeadShapes
from .mask_head import MaskHeadBlock
from .mobile_layers import ConvBN


class MaskHead(nn.Module):
    """LR-ASPP: (b, c, h, w) and an inner map (b, c', h', w') -> logits (b, n_classes, side, side)."""

    def __init__(self, shapes: HeadShapes) -> None:
        """Shapes: of both maps and of the answer."""
        super().__init__()
        s = shapes
        self.conv = ConvBN(s.c_in, s.width, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.gate = nn.Sequential(nn.Conv2d(s.c_in, s.width, 1, bias=False), nn.Sigmoid())
        self.classify = nn.Conv2d(s.width, s.n_classes, 1)
        self.classify_inner = nn.Conv2d(s.inner_c, s.n_classes, 1, bias=False)
        self.enlarge = enlarged(s.size, s.inner_size)
        self.enlarge_all = enlarged(s.inner_size, s.image_size)

    def forward(self, x: Tensor, inner: Tensor) -> Tensor:
        """x: the last map. inner: the map of the inner stride."""
        logits = self.classify(self.conv(x) * self.gate(self.pool(x)))
        return cast(Tensor, self.enlarge_all(self.enlarge(logits) + self.classify_inner(inner)))


def enlarged(before: int, after: int) -> nn.Module:
    """Bilinear, by a constant factor where it is whole: of a size the exporter writes how it is computed."""
    if after % before == 0:
        return nn.Upsample(scale_factor=after // before, mode="bilinear", align_corners=False)
    return nn.Upsample(size=(after, after), mode="bilinear", align_corners=False)


def mask_head_module(block: MaskHeadBlock) -> MaskHead:
    """The block as a torch module with fresh weights."""
    return MaskHead(block.shapes)
