"""One step away: one choice changed, or one edge of a node moved where a node keeps a fixed number of edges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hwnas.core.mix import Arch
    from hwnas.core.space import Space


def neighbours(space: Space, arch: Arch) -> Iterator[Arch]:
    """Every valid architecture one step from a valid one, not in canonical form and some twice."""
    inside = {c for node in space.nodes for c in node.choices}
    for c in range(len(arch)):
        if c not in inside:
            yield from (_with(arch, {c: k}) for k in range(int(space.n_options[c])) if k != arch[c])
    for node in space.nodes:
        kept = set(node.kept(arch))
        for i in sorted(kept):
            for j, target in enumerate(node.choices):
                if j != i and j in kept:
                    continue
                for k in range(int(space.n_options[target])):
                    if k != node.none[j] and (j != i or k != arch[target]):
                        moved = {node.choices[i]: node.none[i]} if j != i else {}
                        yield _with(arch, {**moved, target: k})


def random_neighbour(space: Space, arch: Arch, rng: np.random.Generator) -> Arch:
    """One of the neighbours; first a choice is drawn, then what it becomes."""
    node_of = {c: node for node in space.nodes for c in node.choices}
    open_choices = [c for c in range(len(arch)) if space.n_options[c] > 1]
    if not open_choices:
        return arch
    c = open_choices[int(rng.integers(len(open_choices)))]
    node = node_of.get(c)
    if node is None:
        step = 1 + int(rng.integers(int(space.n_options[c]) - 1))
        return _with(arch, {c: (arch[c] + step) % int(space.n_options[c])})
    i = node.choices.index(c)
    others = [k for k in range(int(space.n_options[c])) if k not in (node.none[i], arch[c])]
    if not others:
        return arch
    changed = {c: others[int(rng.integers(len(others)))]}
    if arch[c] == node.none[i]:
        dropped = node.kept(arch)[int(rng.integers(node.keep))]
        changed[node.choices[dropped]] = node.none[dropped]
    return _with(arch, changed)


def _with(arch: Arch, changed: dict[int, int]) -> Arch:
    out = list(arch)
    for c, k in changed.items():
        out[c] = k
    return tuple(out)
