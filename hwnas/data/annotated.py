"""An image with its boxes as a file has them, and the list of what is wrong with boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite

from targets.errors import UsageError

from .boxes import BoxRows

SLACK_PX = 1.0
"""By how much a box may reach beyond its image: coordinates are rounded, and some count pixels from 1."""
SLACK_SHARE = 0.01
"""The same of edges that are shares of the image."""
_NAMED = 3


@dataclass(frozen=True, eq=False, slots=True)
class Annotated:
    """image: its path. rows: edges as shares of the whole image. size: (width, height) as the file states."""

    image: str
    split: int
    rows: BoxRows
    size: tuple[int, int] | None

    def in_split(self, split: int) -> Annotated:
        """The same in another split."""
        return replace(self, split=split)


class Faults:
    """What is wrong with the boxes of a file; all are named together, the first three with their reasons."""

    def __init__(self, where: str, what: str) -> None:
        self._where, self._what = where, what
        self._named: list[str] = []
        self._n = 0

    def add(self, which: str, why: str) -> None:
        """One more."""
        self._n += 1
        if len(self._named) < _NAMED:
            self._named.append(f"{which} {why}")

    def of_box(
        self, which: str, edges: Sequence[float], size: tuple[float, float], unit: str = " px"
    ) -> bool:
        """Whether a box cannot be one, which is then noted.

        edges: left, top, right, bottom. size: (width, height) of its image in the same unit.
        unit: in messages; empty where edges are shares of the image, and `size` is (1, 1).
        """
        left, top, right, bottom = edges
        slack = SLACK_PX if unit else SLACK_SHARE
        if not all(map(isfinite, edges)):
            why = "has an edge that is no number"
        elif right <= left or bottom <= top:
            why = f"is {right - left:g} x {bottom - top:g}{unit}; a box needs a width and a height above 0"
        elif min(left, top) < -slack or right > size[0] + slack or bottom > size[1] + slack:
            why = (
                f"reaches from {left:g}, {top:g} to {right:g}, {bottom:g}{unit}, outside of its image of "
                f"{size[0]:g} x {size[1]:g}{unit}"
            )
        else:
            return False
        self.add(which, why)
        return True

    def require_none(self) -> None:
        """UsageError that names them."""
        if self._n:
            more = "; ..." if self._n > len(self._named) else ""
            raise UsageError(
                f"{self._where}: {self._n} {self._what} cannot be used: {'; '.join(self._named)}{more}; "
                "correct or remove them"
            )
