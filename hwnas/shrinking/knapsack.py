"""The knapsack: one width per group, so that the loss is least and the milliseconds stay within a budget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

STEPS = 4_000
"""Into which the budget is cut; each choice is rounded up to whole steps, so that the budget always holds."""


def knapsack(
    losses: Sequence[Sequence[float]],
    costs: Sequence[Sequence[float]],
    budget: float,
    steps: int = STEPS,
) -> list[int] | None:
    """The choice of each group with the least sum of losses and a sum of costs within the budget.

    losses, costs: by group, by choice. Costs may be negative. Returns None where even the cheapest choices
    cost more. Within the rounding of `steps` the answer is the best one (dynamic programming over groups).

    >>> knapsack([[0.0, 1.0], [0.0, 3.0]], [[4.0, 2.0], [4.0, 1.0]], budget=6.0)
    [1, 0]
    """
    least = [min(row) for row in costs]
    room = budget - sum(least)
    if room < -1e-12 * max(1.0, abs(budget)):
        return None
    step = room / steps if room > 0 else 1.0
    sizes = [
        np.ceil(np.subtract(row, low) / step - 1e-9).astype(np.int64) if room > 0 else _free(row, low)
        for row, low in zip(costs, least, strict=True)
    ]
    best = np.zeros(steps + 1)  # by steps used at most
    taken: list[np.ndarray] = []
    for row, size in zip(losses, sizes, strict=True):
        options = np.full((len(row), steps + 1), np.inf)
        for choice, (loss, used) in enumerate(zip(row, size, strict=True)):
            if used <= steps:
                options[choice, used:] = best[: steps + 1 - used] + loss
        choices = options.argmin(axis=0)
        best = options[choices, np.arange(steps + 1)]
        taken.append(choices)
    left, answer = steps, []
    for choices, size in zip(reversed(taken), reversed(sizes), strict=True):
        choice = int(choices[left])
        answer.append(choice)
        left -= int(size[choice])
    return answer[::-1]


def _free(row: Sequence[float], low: float) -> np.ndarray:
    """Without any room, only the cheapest choices fit."""
    return np.where(np.asarray(row) <= low, 0, STEPS + 1).astype(np.int64)
