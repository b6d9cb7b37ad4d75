"""What a head is made for, and what the blocks of heads share that read two maps."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from .conv import SumOfConvs
from .mobile_blocks import Operation


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
class TwoMapHead(SumOfConvs):
    """The block of a head that reads the last map and one of an inner stride."""

    shapes: HeadShapes

    stride = 1
    residual = False
    op = Operation("none")

    @property
    @abstractmethod
    def kind(self) -> str:
        """Its name in keys and tables."""

    @property
    def key(self) -> str:
        """`mask/56x4x4+24x8x8/64/6/32px`."""
        s = self.shapes
        inner = f"{s.inner_c}x{s.inner_size}x{s.inner_size}"
        return f"{self.kind}/{s.c_in}x{s.size}x{s.size}+{inner}/{s.width}/{s.n_classes}/{s.image_size}px"

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
        """Classes that it tells apart."""
        return self.shapes.n_classes

    @property
    @abstractmethod
    def shape_out(self) -> list[int]:
        """Of the answer to one image."""

    @property
    def group(self) -> str:
        """Kind and resolution."""
        return f"{self.kind}@{self.shapes.image_size}"

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Of the last map."""
        return (1, self.shapes.c_in, self.shapes.size, self.shapes.size)

    @property
    def more_inputs(self) -> tuple[tuple[int, int, int, int], ...]:
        """That of the inner map."""
        return ((1, self.shapes.inner_c, self.shapes.inner_size, self.shapes.inner_size),)

    @property
    @abstractmethod
    def peak_bytes(self) -> int:
        """Largest sum of fp32 activations that live at once, one image."""

    @property
    @abstractmethod
    def answer_values(self) -> int:
        """Numbers of the answer to one image."""

    @property
    def features(self) -> dict[str, float]:
        """The numbers of `MobileBlock.features`."""
        s, convs = self.shapes, self.convs
        maps = s.c_in * s.size**2 + s.inner_c * s.inner_size**2 + self.answer_values
        traffic = maps + sum(c.weights + c.c_out * c.size_out**2 for c in convs)
        depthwise = [c for c in convs if c.groups > 1]
        values = {
            "c_in": s.c_in,
            "c_out": s.width,
            "mid": 0,
            "size": s.size,
            "stride": 1,
            "kernel": max((c.kernel for c in depthwise), default=0),
            "se": any(c.size_out == 1 for c in convs),
            "hs": False,
            "fused": False,
            "residual": False,
            "macs": self.macs,
            "depthwise_macs": sum(c.macs for c in depthwise),
            "bytes": 4 * traffic,
            "weight_bytes": 4 * sum(c.weights for c in convs),
            "unaligned16": sum(c.c_out % 16 != 0 for c in convs),
            "unaligned_in16": s.c_in % 16 != 0,
        }
        return {name: float(value) for name, value in values.items()}
