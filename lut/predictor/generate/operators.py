"""Networks of single operators: every one that the runtime has, on tensors of any rank, broadcast in any way.

Operators that networks of blocks hold in one form only (a bias on the last axis, a mean over a map) are met
here in all of their forms. Each stands on its own: it reads an input, and its result leaves the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import exp, log
from random import Random

from .graph import GraphBuilder, Value
from .layer_operators import LAYER_OPERATORS
from .move_operators import MOVE_OPERATORS
from .number_operators import NUMBER_OPERATORS
from .operator_rows import OperatorRow

OPERATORS: Mapping[str, OperatorRow] = {**NUMBER_OPERATORS, **MOVE_OPERATORS, **LAYER_OPERATORS}
"""By name: each is dealt as often as any other."""

_OPERATORS = 32
_ELEMENTS = (3, 5e4)
"""Of a tensor of rank 1 or more, log-uniform; small ones are as frequent as they are cheap."""

_MOST_ELEMENTS = 5e5
_MOST_MACS = 2e7


def operators(g: GraphBuilder, rng: Random, names: Iterator[str]) -> tuple[list[Value], list[Value]]:
    """(inputs of rank 0 to 5, results) of a network of `_OPERATORS` operators, whose names are dealt."""
    images = [Value(f"image{rank}", _shape(rank, rng)) for rank in range(6)]
    # Between 0 and 1 every operator is defined.
    inputs = [g.node("Sigmoid", [x], x.shape) for x in images]
    results: list[Value] = []
    for _ in range(_OPERATORS):
        row = OPERATORS[next(names)]
        mark = g.mark()
        before = g.macs, g.elements
        result = row.build(g, inputs[rng.choice(row.ranks)], rng)
        if g.macs - before[0] > _MOST_MACS or g.elements - before[1] > _MOST_ELEMENTS:
            g.rewind(mark)
        else:
            results.append(result)
    return images, results


def _shape(rank: int, rng: Random) -> tuple[int, ...]:
    """Axes of uneven length, few of them a power of two, some of length 1."""
    if rank == 0:
        return ()
    size = exp(rng.uniform(*map(log, _ELEMENTS)))
    shares = [rng.random() + 0.1 for _ in range(rank)]
    sides = [max(1, round(size ** (share / sum(shares)))) for share in shares]
    if rank >= 3 and rng.random() < 0.6:
        sides[0] = 1
    return tuple(side - side % 4 if side > 8 and rng.random() < 0.5 else side for side in sides)
