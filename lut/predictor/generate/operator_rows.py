"""A row of the tables of operators that are met on their own, and what the tables share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from .graph import GraphBuilder, Value

OperatorBuilder = Callable[[GraphBuilder, Value, Random], Value]

ANY = (0, 1, 2, 3, 4, 4, 5)
AXES = (1, 2, 3, 4, 4, 5)
MAPS = (3, 4, 4, 5)
"""Ranks of a first input; that of images, 4, is dealt twice."""


@dataclass(frozen=True, slots=True)
class OperatorRow:
    """An operator: the ranks of its first input, and what adds it to a graph."""

    ranks: tuple[int, ...]
    build: OperatorBuilder


def unary(op: str, **attributes: Any) -> OperatorBuilder:
    """Of one input, whose shape stays."""
    return lambda g, x, rng: g.node(op, [x], x.shape, **attributes)


def integers(g: GraphBuilder, x: Value, factor: float, kind: int = 7) -> Value:
    """Whole numbers from 0 up to `factor`, not included."""
    scaled = g.node("Mul", [x, g.constant(factor)], x.shape)
    return g.node("Cast", [scaled], x.shape, to=kind)
