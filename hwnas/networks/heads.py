"""What a trunk ends with: a head is a row here, a task states its name, a space asks the row for its block.

No torch: the numbers are closed forms, as those of every block. The modules stand in `head_layers` and
`box_head_layers`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hwnas.core.network_space import POOLED
from hwnas.core.registry import Registry

from .box_head import BoxHeadBlock, box_stride
from .head_shapes import HeadShapes, TwoMapHead
from .mask_head import MaskHeadBlock, mask_stride
from .mobile_blocks import MobileBlock, Operation


@dataclass(frozen=True, slots=True)
class Head:
    """A kind of head.

    name: that tasks state. inner: from the stride of the last map to that of an inner one, which it reads
    too; None where it reads the last alone. block: of these shapes.
    """

    name: str
    inner: Callable[[int], int] | None
    block: Callable[[HeadShapes], HeadBlock]


def _pooled(shapes: HeadShapes) -> MobileBlock:
    return MobileBlock(
        kind="head",
        op=Operation("none"),
        c_in=shapes.c_in,
        c_out=shapes.width,
        size=shapes.size,
        stride=1,
        n_classes=shapes.n_classes,
        dims=shapes.dims,
    )


HeadBlock = MobileBlock | TwoMapHead

HEADS: Registry[Head] = Registry("head")
for _head in (
    Head(POOLED, None, _pooled),
    Head("mask", mask_stride, MaskHeadBlock),
    Head("boxes", box_stride, BoxHeadBlock),
):
    HEADS.add(_head.name)(_head)
