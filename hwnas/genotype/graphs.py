"""Cells as directed graphs of networkx: nodes are states, the attribute `op` of an edge is its operation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwnas.core.choice import Arch
from hwnas.spaces.cells import CellSpace
from targets.errors import UsageError

from .edges import CellEdges, arch_of, edges_of


def to_graphs(space: CellSpace, arch: Arch) -> dict[str, Any]:
    """Per kind of cell a `networkx.DiGraph`."""
    import networkx as nx

    graphs = {}
    for kind, cell in edges_of(space, arch).items():
        graph = graphs[kind] = nx.DiGraph()
        graph.add_nodes_from(range(space.wiring.n_inputs + len(space.wiring.nodes)))
        graph.add_edges_from((s, t, {"op": name}) for (s, t), name in cell.items())
    return graphs


def from_graphs(space: CellSpace, graphs: Mapping[str, Any]) -> Arch:
    """The architecture of one `networkx.DiGraph` per kind of cell; edges without `op` are refused."""
    edges: CellEdges = {}
    for kind, graph in graphs.items():
        edges[kind] = {}
        for s, t, attributes in graph.edges(data=True):
            if "op" not in attributes:
                raise UsageError(f"graph of cell {kind}: the edge from {s} to {t} has no attribute 'op'")
            edges[kind][s, t] = attributes["op"]
    return arch_of(space, edges, "graph")
