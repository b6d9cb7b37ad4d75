"""The block of the head of masks: what it costs on paper."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from .conv import Conv
from .head_shapes import TwoMapHead


@dataclass(frozen=True, slots=True)
class MaskHeadBlock(TwoMapHead):
    """The head of masks: LR-ASPP (Howard et al. 2019, section 6.4), logits of every pixel.

    The last map goes through a pointwise convolution and is scaled by a gate of its channel means. Its logits
    are enlarged to the inner map, where those of the inner map are added; the sum is enlarged to the image.
    The paper enlarges the features and not the logits, which is the same function: both steps are linear.
    """

    @property
    def kind(self) -> str:
        """Masks."""
        return "mask"

    @property
    def shape_out(self) -> list[int]:
        """Of the answer to one image."""
        return [self.shapes.n_classes, self.shapes.image_size, self.shapes.image_size]

    @property
    def answer_values(self) -> int:
        """A number per class and pixel."""
        return prod(self.shape_out)

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


def mask_stride(last: int) -> int:
    """The stride of the inner map beside that of the last one.

    A quarter of the last, but 4 to 8: 8 beside 32, as in the paper; 4 beside 16 and 8. Beside 4 it is 2.
    """
    return min(last // 2, max(4, min(8, last // 4)))
