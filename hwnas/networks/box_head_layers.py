"""The head of boxes as a torch module; `box_head` says what it is and what it costs."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .box_head import EDGES, BoxHeadBlock
from .head_layers import enlarged
from .mobile_layers import ConvBN

PRIOR = 0.01
"""What a fresh network gives each class: most cells hold nothing (Lin et al. 2017, section 4.1)."""


class BoxHead(nn.Module):
    """(b, c, h, w) and an inner map (b, c', h', w') -> (b, 4 + n_classes, cells), the finer grid first."""

    def __init__(self, block: BoxHeadBlock) -> None:
        """Block: its shapes."""
        super().__init__()
        s = block.shapes
        self.outputs, self.cells = block.outputs, (s.inner_size**2, block.coarse**2)
        self.conv = ConvBN(s.c_in, s.width, 1)
        self.lateral = ConvBN(s.inner_c, s.width, 1)
        self.to_coarse = nn.Identity() if s.size == block.coarse else enlarged(s.size, block.coarse)
        self.to_fine = enlarged(block.coarse, s.inner_size)
        self.fine, self.coarse = (_tower(s.width, block.outputs) for _ in range(2))

    def forward(self, x: Tensor, inner: Tensor) -> Tensor:
        """x: the last map. inner: the map of the inner stride."""
        coarse = self.to_coarse(self.conv(x))
        fine = self.lateral(inner) + self.to_fine(coarse)
        grids = (self.fine(fine), self.coarse(coarse))
        # Sizes are constants, so that the file computes no shapes.
        return torch.cat(
            [y.reshape(-1, self.outputs, n) for y, n in zip(grids, self.cells, strict=True)], dim=2
        )


def _tower(width: int, outputs: int) -> nn.Sequential:
    """Depthwise, pointwise, answer."""
    answer = nn.Conv2d(width, outputs, 1)
    nn.init.normal_(answer.weight, std=0.01)
    nn.init.zeros_(answer.bias)  # type: ignore[arg-type]  # it has one
    with torch.no_grad():
        answer.bias[EDGES:] = -math.log((1 - PRIOR) / PRIOR)  # type: ignore[index]  # as above
    return nn.Sequential(ConvBN(width, width, 3, groups=width), ConvBN(width, width, 1), answer)


def box_head_module(block: BoxHeadBlock) -> BoxHead:
    """The block as a torch module with fresh weights."""
    return BoxHead(block)
