"""What all forms of cells come down to: per kind of cell, the operation of each edge, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwnas.core.choice import NONE, Arch
from hwnas.spaces.cells import CellSpace
from targets.errors import UsageError, did_you_mean

CellEdges = dict[str, dict[tuple[int, int], str]]
"""Per kind of cell (source, target) -> operation; edges that are not there are left out."""


def edges_of(space: CellSpace, arch: Arch) -> CellEdges:
    """The edges of `arch` that are there, ordered by target, then source."""
    named = {kind: {} for kind in space.kinds}  # type: CellEdges
    for kind in space.kinds:
        for s, t in space.wiring.edges:
            option = space.operations[arch[space.choice(kind, s, t)]]
            if option != NONE:
                named[kind][s, t] = option
    return named


def arch_of(space: CellSpace, edges: Mapping[str, Mapping[tuple[int, int], str]], what: str) -> Arch:
    """The architecture with these edges; UsageError says what of `what` is not in the space."""
    if set(edges) != set(space.kinds):
        raise UsageError(
            f"{what} has cells {', '.join(sorted(map(str, edges)))}; space {space.name} has "
            f"{', '.join(space.kinds)}"
        )
    arch = [space.operations.index(NONE)] * len(space.choices)
    for kind, cell in edges.items():
        for (s, t), name in cell.items():
            if (s, t) not in space.wiring.edges:
                raise UsageError(
                    f"{what}, {kind} cell: no edge from state {s} to state {t} in space {space.name}; "
                    f"states are numbered from 0, inputs first, and an edge leads to a later node"
                )
            if name not in space.operations:
                known = did_you_mean(str(name), space.operations)
                raise UsageError(f"{what}, {kind} cell, edge {s} to {t}: unknown operation {name!r}; {known}")
            arch[space.choice(kind, s, t)] = space.operations.index(name)
    _check_nodes(space, arch, what)
    return tuple(arch)


def _check_nodes(space: CellSpace, arch: list[int], what: str) -> None:
    for node in space.nodes:
        kept = len(node.kept(arch))
        if kept != node.keep:
            name = space.choices[node.edges[0]].node
            raise UsageError(
                f"{what}: node {name} has {kept} edges; in space {space.name} each node keeps {node.keep}"
            )


def add_edge(cell: dict[tuple[int, int], str], edge: tuple[int, int], name: Any, what: str) -> None:
    """Note an edge; UsageError where it is there already."""
    if edge in cell:
        raise UsageError(f"{what}: two edges from state {edge[0]} to state {edge[1]}; a cell has one at most")
    cell[edge] = name
