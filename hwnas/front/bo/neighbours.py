"""One step away: one choice changed, or one edge moved where a node keeps a fixed number of edges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hwnas.core.mix import Arch
    from hwnas.core.node import Node
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


def random_neighbours(space: Space, archs: Sequence[Arch], rng: np.random.Generator) -> list[Arch]:
    """For each architecture one of its neighbours; first a choice is drawn, then what it becomes."""
    open_choices = np.flatnonzero(space.n_options > 1)
    if not len(archs) or not len(open_choices):
        return list(archs)
    changed = np.array(archs, dtype=np.int64)
    drawn = rng.choice(open_choices, len(archs))
    n_options, rows = space.n_options[drawn], np.arange(len(archs))
    changed[rows, drawn] = (changed[rows, drawn] + rng.integers(1, n_options)) % n_options
    node_of = {c: node for node in space.nodes for c in node.choices}
    return [
        _move(node_of[c], arch, c, space, rng) if c in node_of else (*free,)
        for arch, c, free in zip(archs, drawn.tolist(), changed.tolist(), strict=True)
    ]


def _move(node: Node, arch: Arch, c: int, space: Space, rng: np.random.Generator) -> Arch:
    """Another operation on the edge of choice `c`, where it is there; else this edge instead of another."""
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
