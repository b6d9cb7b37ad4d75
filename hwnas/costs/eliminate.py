"""The exact minimum of a sum (or maximum) of small tables over shared choices.

Bucket elimination (Dechter 1999): choices are removed one by one, and each is replaced by the table of
its best answers. The tables of a network form a chain, so this takes milliseconds where enumeration is
impossible.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Factor = tuple[tuple[int, ...], NDArray[np.float64]]
"""The choices that rule a table, and the table with one axis per choice."""


def eliminate(
    factors: Sequence[Factor], n_options: NDArray[np.int64], *, largest: bool
) -> tuple[float, tuple[int, ...]]:
    """Minimise the sum of `factors` (their maximum when `largest`) over all choices.

    n_options: (choices,). Returns the minimum and the option of each choice that reaches it.
    """
    combine = np.maximum if largest else np.add
    left = list(factors)
    answers: list[tuple[int, tuple[int, ...], NDArray[np.int64]]] = []
    todo = set(range(len(n_options)))
    while todo:
        choice = min(todo, key=lambda c: _joint_cells(left, c, n_options))
        todo.remove(choice)
        touching = [f for f in left if choice in f[0]]
        left = [f for f in left if choice not in f[0]]
        others = tuple(sorted({c for f in touching for c in f[0]} - {choice}))
        joint = np.zeros((*(int(n_options[c]) for c in others), int(n_options[choice])))
        for scope, table in touching:
            joint = combine(joint, _expand(scope, table, (*others, choice)))
        answers.append((choice, others, joint.argmin(axis=-1)))
        left.append((others, joint.min(axis=-1)))
    value = 0.0
    for _, table in left:
        value = float(combine(value, table))
    picked: dict[int, int] = {}
    for choice, others, best in reversed(answers):
        picked[choice] = int(best[tuple(picked[c] for c in others)])
    return value, tuple(picked[c] for c in range(len(n_options)))


def _joint_cells(factors: list[Factor], choice: int, n_options: NDArray[np.int64]) -> int:
    """Cells of the joint table that removing `choice` needs."""
    scope = {c for f in factors if choice in f[0] for c in f[0]} | {choice}
    # Of whole numbers of any size: numpy would overflow and take the largest table for the least.
    return math.prod(int(n_options[c]) for c in scope)


def _expand(scope: tuple[int, ...], table: NDArray[np.float64], axes: tuple[int, ...]) -> NDArray[np.float64]:
    """`table` with its axes in the order of `axes`, length 1 where it does not depend on one."""
    order = [scope.index(c) for c in axes if c in scope]
    shape = [table.shape[scope.index(c)] if c in scope else 1 for c in axes]
    return table.transpose(order).reshape(shape)
