"""What a trunk ends with: a head is a row here, a task states its name, a space asks the row for its block.

No torch: the numbers are closed forms, as those of every block. The modules stand in `head_layers`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hwnas.core.network_space import POOLED
from hwnas.core.registry import Registry

from .conv import Conv, SumOfConvs
from .mobile_blocks import MobileBlock, Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadShapes:
    """What a head is made for.

    c_in, size: channels and side of the last map.
    width: of its features.
    n_classes: how many outputs, of a mask in every pixel.
    image_size: side of the image.
    inner_c, inner_size: channels and side of the map of an inner stride; 0 for heads that read none.
    dims: of the maps, 2 for images and 1 for signals.
    """

    c_in: int
    size: int
    width: int
    n_classes: int
    image_size: int
    inner_c: int = 0
    inner_size: int = 0
    dims: int = 2


@dataclass(frozen=True, slots=True)
class Head:
    """A kind of head.

    name: that tasks state. inner: whether it reads the map of an inner stride besides the last one.
    block: of these shapes.
    """

    name: str
    inner: bool
    block: Callable[[HeadShapes], HeadBlock]


@dataclass(frozen=True, slots=True)
class MaskHeadBlock(SumOfConvs):
    """The head of masks: LR-ASPP (Howard et al. 2019, section 6.4), logits of every pixel.

    The last map goes through a pointwise convolution and is scaled by a gate of its channel means. Its logits
    are enlarged to the inner map, where those of the inner map are added; the sum is enlarged to the image.
    The paper enlarges the features and not the logits, which is the same function: both steps are linear.
    """

    shapes: HeadShapes

    kind = "mask"
    stride = 1
    residual = False
    op = Operation("none")

    @property
    def key(self) -> str:
        """`mask/56x4x4+24x8x8/64/6/32px`."""
        s = self.shapes
        inner = f"{s.inner_c}x{s.inner_size}x{s.inner_size}"
        return f"mask/{s.c_in}x{s.size}x{s.size}+{inner}/{s.width}/{s.n_classes}/{s.image_size}px"

    @property
    def c_in(self) -> int:
        """Channels of the last map."""
        return self.shapes.c_in

    @property
    def size(self) -> int:
        """Side of the last map."""
        return self.shapes.size

    @property
    def n_classes(self) -> int:
        """Outputs of every pixel."""
        return self.shapes.n_classes

    @property
    def shape_out(self) -> list[int]:
        """Of the answer to one image."""
        return [self.shapes.n_classes, self.shapes.image_size, self.shapes.image_size]

    @property
    def group(self) -> str:
        """Kind and resolution."""
        return f"mask@{self.shapes.image_size}"

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Of the last map."""
        return (1, self.shapes.c_in, self.shapes.size, self.shapes.size)

    @property
    def more_inputs(self) -> tuple[tuple[int, int, int, int], ...]:
        """That of the inner map."""
        return ((1, self.shapes.inner_c, self.shapes.inner_size, self.shapes.inner_size),)

    @property
    def convs(self) -> tuple[Conv, ...]:
        """Features, gate, logits of the last map, logits of the inner map."""
        s = self.shapes
        return (
            Conv(s.c_in, s.width, 1, size_out=s.size),
            Conv(s.c_in, s.width, 1, size_out=1, bare=True),
            Conv(s.width, s.n_classes, 1, size_out=s.size, batch_norm=False),
            Conv(s.inner_c, s.n_classes, 1, size_out=s.inner_size, bare=True),
        )

    @property
    def peak_bytes(self) -> int:
        """Largest sum of fp32 activations that live at once, one image: the inner map waits for the last."""
        s = self.shapes
        last, features = s.c_in * s.size**2, s.width * s.size**2
        inner, logits = s.inner_c * s.inner_size**2, s.n_classes * s.inner_size**2
        small, answer = s.n_classes * s.size**2, s.n_classes * s.image_size**2
        steps = (
            last + features + inner,
            2 * features + inner,  # the gate is multiplied into a second copy
            features + small + inner,
            small + logits + inner,
            2 * logits + inner,
            3 * logits,
            logits + answer,
        )
        return 4 * max(steps)

    @property
    def features(self) -> dict[str, float]:
        """The numbers of `MobileBlock.features`."""
        s, convs = self.shapes, self.convs
        maps = s.c_in * s.size**2 + s.inner_c * s.inner_size**2 + s.n_classes * s.image_size**2
        traffic = maps + sum(c.weights + c.c_out * c.size_out**2 for c in convs)
        values = {
            "c_in": s.c_in,
            "c_out": s.width,
            "mid": 0,
            "size": s.size,
            "stride": 1,
            "kernel": 0,
            "se": True,
            "hs": False,
            "fused": False,
            "residual": False,
            "macs": self.macs,
            "depthwise_macs": 0,
            "bytes": 4 * traffic,
            "weight_bytes": 4 * sum(c.weights for c in convs),
            "unaligned16": sum(c.c_out % 16 != 0 for c in convs),
            "unaligned_in16": s.c_in % 16 != 0,
        }
        return {name: float(value) for name, value in values.items()}


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


HeadBlock = MobileBlock | MaskHeadBlock

HEADS: Registry[Head] = Registry("head")
for _head in (Head(POOLED, False, _pooled), Head("mask", True, MaskHeadBlock)):
    HEADS.add(_head.name)(_head)


def inner_stride(last: int) -> int:
    """The stride of the inner map that a head reads beside that of the last one.

    A quarter of the last, but 4 to 8: 8 beside 32, as in the paper; 4 beside 16 and 8. Beside 4 it is 2.
    """
    return min(last // 2, max(4, min(8, last // 4)))
