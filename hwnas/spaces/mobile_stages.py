"""The stages of a `mobile` space at the scale of the images, and the maps between them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MobileStage:
    """A stage at the scale of the space.

    width_choice: index of the choice of its width.
    widths: numbers of channels, the options of that choice.
    size_in: side of its input in pixels.
    stride: of its first layer.
    layers: per layer the index of the choice of its operation.
    """

    width_choice: int
    widths: tuple[int, ...]
    size_in: int
    stride: int
    layers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class InnerMap:
    """The map of an inner stride, which some heads read.

    stage: index of the stage that it leaves; None: the stem.
    width_choice: of that stage; None of the stem. widths: its numbers of channels. size: its side in pixels.
    """

    stage: int | None
    width_choice: int | None
    widths: tuple[int, ...]
    size: int

    @property
    def most_bytes(self) -> int:
        """Its fp32 bytes at its greatest width: what waits for the head while the blocks between run."""
        return 4 * max(self.widths) * self.size**2
