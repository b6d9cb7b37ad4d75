"""The nodes of a cell: edges that compete, of which a fixed number is kept (DARTS, section 2.1)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from targets.errors import UsageError

from .choice import NONE, Choice


@dataclass(frozen=True, slots=True)
class Node:
    """The edges that enter one node: choice indices, per choice the index of `NONE`, how many are kept."""

    choices: tuple[int, ...]
    none: tuple[int, ...]
    keep: int

    def kept(self, arch: Sequence[int]) -> list[int]:
        """Which of the node's edges (0 = its first) are there."""
        return [i for i, (c, none) in enumerate(zip(self.choices, self.none, strict=True)) if arch[c] != none]

    def size(self, n_options: NDArray[np.int64]) -> int:
        """How many ways there are to keep `keep` edges with an operation each.

        The coefficient of z^keep in the product over the edges of (1 + operations z).
        """
        counts = [1, *[0] * self.keep]
        for c in self.choices:
            real = int(n_options[c]) - 1
            counts = [counts[0], *(counts[j] + real * counts[j - 1] for j in range(1, self.keep + 1))]
        return counts[self.keep]

    def options(self, n_options: NDArray[np.int64]) -> Iterator[tuple[tuple[int, int], ...]]:
        """Every way to keep `keep` edges, as (choice, option) pairs of all edges."""
        for arch in itertools.product(*(range(int(n_options[c])) for c in self.choices)):
            if sum(k != none for k, none in zip(arch, self.none, strict=True)) == self.keep:
                yield tuple(zip(self.choices, arch, strict=True))

    def penalty(self, n_options: NDArray[np.int64]) -> NDArray[np.float64]:
        """0 where the node keeps as many edges as it must, else inf; one axis per edge."""
        shape = tuple(int(n_options[c]) for c in self.choices)
        count = np.zeros(shape, dtype=np.int64)
        for axis, none in enumerate(self.none):
            there = np.arange(shape[axis]) != none
            count += there.reshape([-1 if a == axis else 1 for a in range(len(shape))])
        return np.where(count == self.keep, 0.0, np.inf)


def find_nodes(space: str, choices: Sequence[Choice]) -> tuple[Node, ...]:
    """The nodes that the choices name, in order; UsageError where their edges do not agree."""
    members: dict[str, list[int]] = {}
    for i, choice in enumerate(choices):
        if choice.node is not None:
            members.setdefault(choice.node, []).append(i)
    out = []
    for name, edges in members.items():
        keep = choices[edges[0]].keep
        if any((keep and NONE not in choices[c].options) or choices[c].keep != keep for c in edges):
            raise UsageError(
                f"space {space}, node {name}: every edge needs the option {NONE!r} and the same keep"
            )
        if keep == 0:
            continue
        if not 1 <= keep <= len(edges):
            raise UsageError(f"space {space}, node {name}: cannot keep {keep} of {len(edges)} edges")
        out.append(Node(tuple(edges), tuple(choices[c].options.index(NONE) for c in edges), keep))
    return tuple(out)
