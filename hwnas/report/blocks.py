"""An architecture as a list of blocks: what the drawings need to know of a network, and nothing more.

A space describes an architecture as a list of plain dictionaries (they travel in JSON files); `DrawnBlock` is
such a dictionary, checked once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from targets.errors import UsageError

MapShape = tuple[int, int, int]
"""(channels, height, width) of one image's feature map."""


@dataclass(frozen=True, slots=True)
class DrawnBlock:
    """One block of a network.

    name: where it stands.
    kind: its operation.
    kernel: side of the kernel; None where the kind has none, such as a skip.
    expand: hidden channels per input channel; None where the kind has none, such as a stem.
    se: whether it has squeeze-and-excitation.
    act: the activation; empty for none.
    inside, outside: the feature maps that it reads and writes.
    stride: how many input pixels it moves per output pixel.
    """

    name: str
    kind: str
    kernel: int | None
    expand: float | None
    se: bool
    act: str
    inside: MapShape
    outside: MapShape
    stride: int

    @property
    def channels(self) -> int:
        """Channels of the output."""
        return self.outside[0]

    @property
    def resolution(self) -> str:
        """Output height x width, as text."""
        return f"{self.outside[1]} × {self.outside[2]}"

    @property
    def kernel_text(self) -> str:
        """Height x width of the kernel; signals lie in one row, and so do their kernels. Empty for none."""
        height = 1 if self.inside[1] == 1 < self.inside[2] else self.kernel
        return f"{height}×{self.kernel}" if self.kernel else ""

    @property
    def text(self) -> str:
        """The block in one line: kind, kernel, expansion, SE, activation, stride, shapes."""
        facts = [self.kind]
        if self.kernel:
            facts.append(self.kernel_text)
        if self.expand:
            facts.append(f"expansion {self.expand:g}")
        if self.se:
            facts.append("SE")
        if self.act:
            facts.append(self.act)
        if self.stride > 1:
            facts.append(f"stride {self.stride}")
        (c, h, w), (oc, oh, ow) = self.inside, self.outside
        return f"{', '.join(facts)}; {c}×{h}×{w} → {oc}×{oh}×{ow}"


def parse_blocks(rows: Iterable[Mapping[str, Any]]) -> tuple[DrawnBlock, ...]:
    """The blocks in the order of the network; UsageError names the first row that is not one."""
    blocks = []
    for index, row in enumerate(rows):
        try:
            blocks.append(
                DrawnBlock(
                    name=str(row["name"]),
                    kind=str(row["kind"]),
                    kernel=_count(row.get("kernel")),
                    expand=float(row["expand"]) if row.get("expand") else None,
                    se=bool(row.get("se")),
                    act=str(row.get("act") or ""),
                    inside=_shape(row["in"]),
                    outside=_shape(row["out"]),
                    stride=_count(row.get("stride")) or 1,
                )
            )
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise UsageError(
                f"block {index} of an architecture is not a block ({type(error).__name__}: {error}): wanted "
                f"name, kind, kernel, expand, se, act, in [c,h,w], out [c,h,w], stride; got {str(row)[:90]}"
            ) from None
    return tuple(blocks)


def _count(value: Any) -> int | None:
    return int(value) if value else None


def _shape(value: Any) -> MapShape:
    channels, height, width = (int(size) for size in value)
    if min(channels, height, width) < 1:
        raise ValueError(f"shape {list(value)} is not positive")
    return channels, height, width
