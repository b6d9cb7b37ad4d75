"""Nodes of cells: what a space must refuse stands in test_cell_spaces.py; here what a policy asks for."""

from __future__ import annotations

from hwnas.core.choice import NONE, Choice
from hwnas.core.node import ABSENT, CellNode, nodes_of


def test_nodes_are_the_edges_that_compete() -> None:
    choices = (
        Choice("free", ("a", "b")),
        Choice("0-2", (NONE, "a"), node="2", keep=1),
        Choice("1-2", ("a", NONE), node="2", keep=1),
        Choice("0-1", (NONE, "a"), node="1"),
    )
    assert nodes_of(choices) == (CellNode(edges=(1, 2), none=(0, 1), keep=1),)


def test_a_stage_may_have_taken_none_away_and_edges_too() -> None:
    choices = (Choice("0-2", ("a", "b"), node="2", keep=2),)
    (node,) = nodes_of(choices)
    assert node == CellNode(edges=(0,), none=(ABSENT,), keep=1)
    assert node.kept((0,)) == [0]
