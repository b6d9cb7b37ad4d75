"""The neighbours of an architecture: what is one step away in its space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hwnas.core.choice import Arch
    from hwnas.core.space import Space


def neighbours(space: Space, arch: Arch) -> Iterator[Arch]:
    """Every architecture one step from a valid one: neither in canonical form nor always once.

    A step changes the option of one choice. Where a node keeps a fixed number of edges, it moves one
    edge or changes its operation.
    """
    inside = {c for node in space.nodes for c in node.edges}
    for c in range(len(arch)):
        if c not in inside:
            yield from (
                (*arch[:c], k, *arch[c + 1 :]) for k in range(int(space.n_options[c])) if k != arch[c]
            )
    for node in space.nodes:
        kept = set(node.kept(arch))
        for i in sorted(kept):
            for j, target in enumerate(node.edges):
                if j != i and j in kept:
                    continue
                removed = {node.edges[i]: node.none[i]} if j != i else {}
                for k in range(int(space.n_options[target])):
                    if k != node.none[j] and k != arch[target]:
                        yield _changed(arch, {**removed, target: k})


def _changed(arch: Arch, changes: Mapping[int, int]) -> Arch:
    return tuple(changes.get(c, option) for c, option in enumerate(arch))
