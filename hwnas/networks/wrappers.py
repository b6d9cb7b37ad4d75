"""What the edges of a supernet may be wrapped in; combine them freely, one of each kind.

[1] Xu et al. 2020, PC-DARTS, 1907.05737. [2] Chu et al. 2021, DARTS-, 2009.01027. [3] Chen et al. 2019,
P-DARTS, 1904.12760. [4] Larsson et al. 2017, FractalNet, 1605.07648.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from hwnas.core.number import Number
from targets.errors import UsageError


def _probability(name: str, value: Number) -> None:
    if not isinstance(value, Tensor) and not 0 <= value < 1:
        raise UsageError(f"{name}: probability {value} must be at least 0 and below 1")


@dataclass(frozen=True, slots=True)
class Partial:
    """One of `k` channels passes the operations, the others pass by; then channels are shuffled [1]."""

    k: int

    def check(self, channels: int) -> None:
        """UsageError where `channels` cannot be split."""
        if self.k < 1 or self.k > channels or channels % self.k:
            raise UsageError(
                f"partial channels: 1 of {self.k} channels of a cell with {channels} cannot be taken; "
                f"choose a divisor of {channels}, or more channels"
            )


@dataclass(frozen=True, slots=True)
class AuxSkip:
    """A skip connection of this weight beside the operations of every edge [2]."""

    weight: Number


@dataclass(frozen=True, slots=True)
class SkipDropout:
    """Dropout after the identity, and after no other operation [3]."""

    p: Number

    def __post_init__(self) -> None:
        _probability("skip dropout", self.p)


@dataclass(frozen=True, slots=True)
class DropPath:
    """Sets whole images of an edge to 0, except for its identity [4]."""

    p: Number

    def __post_init__(self) -> None:
        _probability("drop path", self.p)


Wrapper = Partial | AuxSkip | SkipDropout | DropPath


@dataclass(frozen=True, slots=True)
class Wrapping:
    """All wrappers of a supernet, as values; the defaults wrap nothing.

    partial: one channel of so many passes the operations.
    aux_skip: weight of the auxiliary skip. None leaves it out; with 0 its parameters exist all the same.
    skip_dropout, drop_path: probabilities.
    """

    partial: int = 1
    aux_skip: Number | None = None
    skip_dropout: Number = 0.0
    drop_path: Number = 0.0

    def having(self, wrappers: Sequence[Wrapper]) -> Wrapping:
        """With `wrappers`, each of which replaces the one of its kind."""
        values: dict[str, Any] = {}
        for w in wrappers:
            name, field = _FIELDS[type(w)]
            if name in values:
                raise UsageError(f"{type(w).__name__} is given twice; give each wrapper once")
            values[name] = getattr(w, field)
        return replace(self, **values)


_FIELDS: dict[type, tuple[str, str]] = {
    Partial: ("partial", "k"),
    AuxSkip: ("aux_skip", "weight"),
    SkipDropout: ("skip_dropout", "p"),
    DropPath: ("drop_path", "p"),
}
"""Per wrapper the field of `Wrapping` that it sets, and its own."""
