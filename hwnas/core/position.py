"""A place of a network, and the blocks that may stand there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .arrays import Indices
from .choice import Arch


@dataclass(frozen=True, slots=True)
class Position:
    """One place of the network, ruled by up to three choices.

    choices: indices into `space.choices`.
    keys: the key of the block that stands there, per combination of their options; None where nothing
        stands. An object array with one axis per choice: every cost of the space is a table of this shape.
    held_bytes: fp32 activations of one image that live while the block runs, because later blocks need them.
    readers: (choice, option) of what reads its result. Where there are some, the block stands only where one
        of them is chosen, and no choice rules it besides.
    """

    choices: tuple[int, ...]
    keys: NDArray[np.object_]
    held_bytes: int = 0
    readers: tuple[tuple[int, int], ...] = ()

    def key_of(self, arch: Arch) -> str | None:
        """The key of the block that stands there in `arch`; None where nothing does."""
        if self.readers and not any(arch[choice] == option for choice, option in self.readers):
            return None
        key: str | None = self.keys[tuple(arch[c] for c in self.choices)]
        return key

    def is_read(self, indices: Indices) -> NDArray[np.bool_]:
        """(n,) whether architectures (n, choices) have one of its readers."""
        choices, options = (list(column) for column in zip(*self.readers, strict=True))
        read: NDArray[np.bool_] = (indices[:, choices] == options).any(axis=1)
        return read
