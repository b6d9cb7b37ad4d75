"""Spaces whose architectures grow: from the smallest ones, a step at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from .choice import Arch


@runtime_checkable
class GrowingSpace(Protocol):
    """Architectures have sizes 1, 2, … `n_sizes`; all are in canonical form, and none comes twice."""

    @property
    def n_sizes(self) -> int:
        """How many sizes there are."""
        ...

    def size_of(self, arch: Arch) -> int:
        """From 1: how large an architecture is."""
        ...

    def smallest(self) -> Iterator[Arch]:
        """Every architecture of size 1."""
        ...

    def grown(self, arch: Arch) -> Iterator[Arch]:
        """Every architecture of the next size that begins with this one; none at the largest size."""
        ...
