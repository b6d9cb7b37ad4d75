"""Proposals that were never evaluated: a duplicate is mutated until it is new, or the space is used up."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hwnas.core.choice import Arch
    from hwnas.core.space import Space

_STEPS = 50
_DRAWS = 100
_ENUMERABLE = 50_000  # listing so many takes about a second; larger spaces are not used up in practice


class Novelty:
    """Hands out each architecture once.

    known: keys of architectures that are not handed out; it may be large, and is not copied.
    taken: more of them, as those that were handed out.
    """

    def __init__(
        self, space: Space, known: Collection[str], rng: np.random.Generator, taken: Iterable[str] = ()
    ) -> None:
        self._space, self._known, self._taken, self._rng = space, known, set(taken), rng
        self._left: list[Arch] | None = None

    def copy(self) -> Novelty:
        """Another source that knows the same, for architectures that may not be proposed after all."""
        return Novelty(self._space, self._known, self._rng, self._taken)

    def claim(self, arch: Arch) -> Arch | None:
        """`arch` in canonical form if it is valid and was never handed out, else None."""
        if not self._space.valid(arch):
            return None
        canonical = self._space.canonical(arch)
        key = self._space.key(canonical)
        if key in self._taken or key in self._known:
            return None
        self._taken.add(key)
        return canonical

    def near(self, arch: Arch) -> Arch | None:
        """A new architecture some mutations away from `arch`; any new one where that finds none."""
        if self._space.size > 1:
            for _ in range(_STEPS):
                arch = self._space.mutate(arch, self._rng)
                if (new := self.claim(arch)) is not None:
                    return new
        return self.anywhere()

    def claim_or_mutate(self, arch: Arch, origin: str) -> tuple[Arch, str] | None:
        """`arch` with its origin if it is new, else a new `mutant` near it; None where none is left."""
        if (new := self.claim(arch)) is not None:
            return new, origin
        mutant = self.near(arch)
        return None if mutant is None else (mutant, "mutant")

    def anywhere(self) -> Arch | None:
        """A new random architecture, or None.

        None is left, or 100 draws from a space that is too large to list were all known.
        """
        for _ in range(_DRAWS):
            if (new := self.claim(self._space.sample(self._rng))) is not None:
                return new
        if self._space.size > _ENUMERABLE:
            return None
        if self._left is None:
            self._left = list(self._space.enumerate())
            self._rng.shuffle(self._left)
        while self._left:
            if (new := self.claim(self._left.pop())) is not None:
                return new
        return None

    def at_random(self, n: int, origin: str = "random") -> list[tuple[Arch, str]]:
        """Up to `n` new random architectures, each with `origin`."""
        archs = [self.anywhere() for _ in range(n)]
        return [(arch, origin) for arch in archs if arch is not None]
