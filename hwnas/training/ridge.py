"""Ridge regression for several penalties, of which the dear part, the matrix of products, is made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from numpy.typing import NDArray

from hwnas.core.arrays import Array

Answer = Callable[[NDArray[Any]], Array]
"""Pixels (m, d) -> what is expected of each target, (m, k)."""


def ridges(x: Array, targets: Array, penalties: Sequence[float]) -> Iterator[tuple[float, Answer]]:
    """One fitted model per penalty, with an intercept that is not penalised.

    x: (n, d), which is centred in place. targets: (n, k). penalties: of the squared weights, per sample.
    Solved for the weights or for the samples, whichever are fewer.
    """
    from scipy.linalg import solve

    n, width = x.shape
    centre, offset = x.mean(axis=0), targets.mean(axis=0)
    x -= centre
    centred = targets - offset
    by_weights = width <= n
    products = x.T @ x if by_weights else x @ x.T
    right = x.T @ centred if by_weights else centred
    for penalty in penalties:
        system = products.copy()
        system.flat[:: len(system) + 1] += penalty * n
        solved = solve(system, right, assume_a="pos", overwrite_a=True, check_finite=False)
        weights = solved if by_weights else x.T @ solved

        def answer(rows: NDArray[Any], weights: Array = weights) -> Array:
            answers: Array = (rows - centre) @ weights + offset
            return answers

        yield penalty, answer
