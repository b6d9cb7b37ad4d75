"""Random steps through a space: to one of the `hwnas.front.neighbours` of each architecture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hwnas.core.choice import Arch
    from hwnas.core.node import CellNode
    from hwnas.core.space import Space


def random_steps(space: Space, archs: Sequence[Arch], rng: np.random.Generator) -> list[Arch]:
    """For each architecture one of its neighbours; first a choice is drawn, then what it becomes.

    An architecture stays as it is where the choice leaves nothing else.
    """
    open_choices = np.flatnonzero(space.n_options > 1)
    if not len(archs) or not len(open_choices):
        return list(archs)
    changed = np.array(archs, dtype=np.int64)
    drawn = rng.choice(open_choices, len(archs))
    n_options, rows = space.n_options[drawn], np.arange(len(archs))
    changed[rows, drawn] = (changed[rows, drawn] + rng.integers(1, n_options)) % n_options
    node_of = {c: node for node in space.nodes for c in node.edges}
    return [
        _moved(node_of[c], arch, c, space, rng) if c in node_of else (*free,)
        for arch, c, free in zip(archs, drawn.tolist(), changed.tolist(), strict=True)
    ]


def _moved(node: CellNode, arch: Arch, c: int, space: Space, rng: np.random.Generator) -> Arch:
    """Another operation on the edge of choice `c`, where it is there; else this edge instead of another."""
    i = node.edges.index(c)
    others = [k for k in range(int(space.n_options[c])) if k not in (node.none[i], arch[c])]
    if not others:
        return arch
    changes = {c: others[int(rng.integers(len(others)))]}
    if arch[c] == node.none[i]:
        dropped = node.kept(arch)[int(rng.integers(node.keep))]
        changes[node.edges[dropped]] = node.none[dropped]
    return tuple(changes.get(choice, option) for choice, option in enumerate(arch))
