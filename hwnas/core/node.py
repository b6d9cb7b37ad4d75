"""The nodes of a cell: edges that compete, of which a fixed number is kept (DARTS, section 2.1)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from targets.errors import UsageError

from .choice import NONE, Choice

ABSENT = -1
"""Stands for the index of `NONE` where an edge has no such option."""


@dataclass(frozen=True, slots=True)
class CellNode:
    """The edges that enter one node.

    edges: indices of the choices that compete.
    none: per edge the index of its option `NONE`, or `ABSENT`.
    keep: how many edges an architecture has.
    """

    edges: tuple[int, ...]
    none: tuple[int, ...]
    keep: int

    def kept(self, arch: Sequence[int]) -> list[int]:
        """Which of the node's edges (0 = its first) are there."""
        return [i for i, (c, none) in enumerate(zip(self.edges, self.none, strict=True)) if arch[c] != none]

    def size(self, n_options: NDArray[np.int64]) -> int:
        """How many ways there are to keep `keep` edges with an operation each.

        The coefficient of z^keep in the product over the edges of (1 + operations z).
        """
        counts = [1, *[0] * self.keep]
        for c in self.edges:
            real = int(n_options[c]) - 1
            counts = [counts[0], *(counts[j] + real * counts[j - 1] for j in range(1, self.keep + 1))]
        return counts[self.keep]

    def options(self, n_options: NDArray[np.int64]) -> Iterator[tuple[tuple[int, int], ...]]:
        """Every way to keep `keep` edges, as (choice, option) pairs of all edges."""
        for arch in itertools.product(*(range(int(n_options[c])) for c in self.edges)):
            if sum(k != none for k, none in zip(arch, self.none, strict=True)) == self.keep:
                yield tuple(zip(self.edges, arch, strict=True))

    def penalty(self, n_options: NDArray[np.int64]) -> NDArray[np.float64]:
        """0 where the node keeps as many edges as it must, else inf; one axis per edge."""
        shape = tuple(int(n_options[c]) for c in self.edges)
        count = np.zeros(shape, dtype=np.int64)
        for axis, none in enumerate(self.none):
            there = np.arange(shape[axis]) != none
            count += there.reshape([-1 if a == axis else 1 for a in range(len(shape))])
        return np.where(count == self.keep, 0.0, np.inf)


@cache
def nodes_of(choices: tuple[Choice, ...]) -> tuple[CellNode, ...]:
    """The nodes that keep a number of their edges, in the order in which `choices` name them."""
    edges_by_node: dict[str, list[int]] = {}
    for i, choice in enumerate(choices):
        if choice.node is not None and choice.keep > 0:
            edges_by_node.setdefault(choice.node, []).append(i)
    return tuple(
        CellNode(
            edges=tuple(edges),
            none=tuple(none_of(choices[e]) for e in edges),
            keep=min(choices[edges[0]].keep, len(edges)),
        )
        for edges in edges_by_node.values()
    )


def none_of(choice: Choice) -> int:
    """The index of `NONE`, or `ABSENT`."""
    return choice.options.index(NONE) if NONE in choice.options else ABSENT


def check_nodes(space: str, choices: Sequence[Choice]) -> None:
    """UsageError where the edges of a node disagree, or keep more than there are."""
    edges_by_node: dict[str, list[Choice]] = {}
    for choice in choices:
        if choice.node is not None:
            edges_by_node.setdefault(choice.node, []).append(choice)
    for name, edges in edges_by_node.items():
        keep = edges[0].keep
        if any((keep and NONE not in e.options) or e.keep != keep for e in edges):
            raise UsageError(
                f"space {space}, node {name}: every edge needs the option {NONE!r} and the same keep"
            )
        if not 0 <= keep <= len(edges):
            raise UsageError(f"space {space}, node {name}: cannot keep {keep} of {len(edges)} edges")
