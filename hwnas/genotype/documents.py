"""Cells as JSON: an adjacency matrix of operation names, and a hierarchy of cells, nodes and edges.

`{"matrix": {"cell": [[null, "skip_connect", …], …]}}`: row = source, column = target, null = no edge.
`{"cells": {"normal": [{"node": 2, "edges": [{"from": 0, "op": "sep_conv_3x3"}, …]}, …]}}`.
"""

from __future__ import annotations

import json
from typing import Any

from hwnas.core.choice import Arch
from hwnas.spaces.cells import CellSpace
from targets.errors import UsageError

from .edges import CellEdges, add_edge, arch_of, edges_of


def matches(text: str) -> bool:
    """Whether it begins like JSON."""
    return text.startswith("{")


def matches_matrix(text: str) -> bool:
    """Whether it begins like an adjacency matrix."""
    return matches(text) and '"matrix"' in text[:40]


def write_matrix(space: CellSpace, arch: Arch) -> str:
    """An adjacency matrix per kind of cell."""
    n = len(space.wiring.nodes) + space.wiring.n_inputs
    return json.dumps(
        {
            "matrix": {
                kind: [[cell.get((s, t)) for t in range(n)] for s in range(n)]
                for kind, cell in edges_of(space, arch).items()
            }
        }
    )


def read_matrix(space: CellSpace, text: str) -> Arch:
    """The architecture of adjacency matrices."""
    n = len(space.wiring.nodes) + space.wiring.n_inputs
    edges: CellEdges = {}
    for kind, rows in _document(text, "matrix").items():
        square = isinstance(rows, list) and len(rows) == n
        if not square or any(not isinstance(row, list) or len(row) != n for row in rows):
            raise UsageError(
                f"adjacency matrix of cell {kind}: space {space.name} needs {n} rows of {n} entries"
            )
        edges[kind] = {
            (s, t): name for s, row in enumerate(rows) for t, name in enumerate(row) if name is not None
        }
    return arch_of(space, edges, "adjacency matrix")


def write_cells(space: CellSpace, arch: Arch) -> str:
    """Cells, nodes, edges."""
    document = {
        kind: [
            {"node": node, "edges": [{"from": s, "op": op} for (s, t), op in cell.items() if t == node]}
            for node in space.wiring.nodes
        ]
        for kind, cell in edges_of(space, arch).items()
    }
    return json.dumps({"space": space.name, "cells": document})


def read_cells(space: CellSpace, text: str) -> Arch:
    """The architecture of a hierarchy."""
    edges: CellEdges = {}
    for kind, nodes in _document(text, "cells").items():
        edges[kind] = {}
        try:
            for node in nodes:
                for edge in node["edges"]:
                    place = (_state(edge["from"]), _state(node["node"]))
                    add_edge(edges[kind], place, edge["op"], f"genotype, {kind} cell")
        except (TypeError, KeyError) as error:
            raise UsageError(
                f"genotype, {kind} cell: {type(error).__name__} {error}; a node reads "
                '{"node": 2, "edges": [{"from": 0, "op": "sep_conv_3x3"}]}'
            ) from None
    return arch_of(space, edges, "genotype")


def _state(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"state {value!r} is no whole number")
    return value


def _document(text: str, name: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{text[:60]!r} is no JSON: {error}") from None
    cells = document.get(name)
    if not isinstance(cells, dict):
        raise UsageError(
            f"a genotype in JSON has the key 'matrix' or 'cells' with the cells by name, not "
            f"{sorted(document)}"
        )
    return cells
