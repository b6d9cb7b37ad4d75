"""The block of the head of boxes: what it costs on paper."""

from __future__ import annotations

from dataclasses import dataclass

from .conv import Conv
from .head_shapes import TwoMapHead

EDGES = 4
"""Numbers of a cell beside those of its classes: the distances to the edges of a box."""


@dataclass(frozen=True, slots=True)
class BoxHeadBlock(TwoMapHead):
    """The head of boxes: anchor-free, one box and the logits of its classes in each cell of two grids.

    FCOS (Tian et al. 2019) at the size of a small network: both maps become `width` channels wide, the last
    one is enlarged and added to the inner one, as in a feature pyramid, and each goes through a depthwise
    and a pointwise convolution of its own. The finer grid is the inner map, of stride 8 from 64 px on; the
    coarser has half as many cells to a side, and the last map is enlarged to it where it is smaller.
    """

    @property
    def kind(self) -> str:
        """Boxes."""
        return "boxes"

    @property
    def coarse(self) -> int:
        """Side of the coarser grid."""
        return -(-self.shapes.inner_size // 2)

    @property
    def cells(self) -> int:
        """Of both grids."""
        return int(self.shapes.inner_size**2 + self.coarse**2)

    @property
    def outputs(self) -> int:
        """Numbers of a cell."""
        return EDGES + self.shapes.n_classes

    @property
    def shape_out(self) -> list[int]:
        """Of the answer to one image: channels, height and width, in one row."""
        return [self.outputs, 1, self.cells]

    @property
    def answer_values(self) -> int:
        """All numbers of all cells."""
        return self.outputs * self.cells

    @property
    def convs(self) -> tuple[Conv, ...]:
        """Both maps to one width; depthwise, pointwise and answer of each."""
        s = self.shapes
        towers = [
            conv
            for side in (s.inner_size, self.coarse)
            for conv in (
                Conv(s.width, s.width, 3, size_out=side, groups=s.width),
                Conv(s.width, s.width, 1, size_out=side),
                Conv(s.width, self.outputs, 1, size_out=side, batch_norm=False),
            )
        ]
        lateral = Conv(s.inner_c, s.width, 1, size_out=s.inner_size)
        return (Conv(s.c_in, s.width, 1, size_out=s.size), lateral, *towers)

    @property
    def peak_bytes(self) -> int:
        """Largest sum of fp32 activations that live at once, one image: the inner map waits for the last."""
        s = self.shapes
        last, inner = s.c_in * s.size**2, s.inner_c * s.inner_size**2
        small, coarse, fine = (s.width * side**2 for side in (s.size, self.coarse, s.inner_size))
        answer_fine = self.outputs * s.inner_size**2
        steps = (
            last + small + inner,
            small + coarse + inner,
            coarse + inner + fine,
            coarse + 3 * fine,  # of the inner map, of the last one enlarged, their sum
            coarse + fine + answer_fine,
            2 * coarse + answer_fine,
            2 * self.answer_values,
        )
        return 4 * max(steps)


def box_stride(last: int) -> int:
    """The stride of the inner map, the finer grid, beside that of the last one: half of it, at most 8."""
    return max(1, min(8, last // 2))
