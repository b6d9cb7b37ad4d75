"""An architecture as a list of blocks: what the drawings need to know of a network, and nothing more.

A space describes an architecture as a list of plain dictionaries (they travel in JSON files); `Block` is
such a dictionary, checked once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from targets.errors import UsageError

Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a network. `inside` and `outside` are (channels, height, width) of one image.

    kernel and expand are None where the kind has none (a skip has no kernel, a stem no expansion).
    """

    name: str
    kind: str
    kernel: int | None
    expand: float | None
    se: bool
    act: str
    inside: Shape
    outside: Shape
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
    def text(self) -> str:
        """The block in one line: kind, kernel, expansion, SE, activation, stride, shapes."""
        facts = [self.kind]
        if self.kernel:
            facts.append(f"{self.kernel}×{self.kernel}")
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


def parse_blocks(rows: Iterable[Mapping[str, Any]]) -> tuple[Block, ...]:
    """The blocks in the order of the network; UsageError names the first row that is not one."""
    blocks = []
    for index, row in enumerate(rows):
        try:
            blocks.append(
                Block(
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


def _shape(value: Any) -> Shape:
    channels, height, width = (int(size) for size in value)
    if min(channels, height, width) < 1:
        raise ValueError(f"shape {list(value)} is not positive")
    return channels, height, width
