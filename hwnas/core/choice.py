"""Choices and architectures: what is decided, and one decision of all of it. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

Arch = tuple[int, ...]
"""An architecture: the index of the chosen option, per choice, in the order of the space."""


NONE = "none"
"""The option of an edge that is not there."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One decision: exactly one of `options`.

    Choices that share a `node` are the edges that enter it, and an architecture keeps exactly `keep`
    of them: the others are `NONE`. Without a node, or with keep 0, every option is free.
    """

    name: str
    options: tuple[str, ...]
    node: str | None = None
    keep: int = 0
