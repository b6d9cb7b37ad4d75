"""What a user prefers of a front: which pick is chosen, and where the search looks more closely."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from hwnas.core.arrays import Array
from targets.errors import UsageError, did_you_mean

from .pareto import knee, non_dominated


@dataclass(frozen=True, slots=True)
class Preference:
    """A row of the table.

    choose: latencies and accuracies of picks (n,) -> the index of the one that is chosen.
    pick: what a single pick is: accurate, knee or fastest.
    errors, costs: shares of the ranges of their logarithms that matter, from the best on; 1 is all. The
        Bayesian search counts improvements there alone (`Improvement`), and what the others rank
        (`Problem.ranks`) comes first where it is inside.
    """

    choose: Callable[[Array, Array], int]
    pick: str
    errors: float = 1.0
    costs: float = 1.0


def _most_accurate(latency: Array, accuracy: Array) -> int:
    return int(np.lexsort((latency, -accuracy))[0])


def _fastest(latency: Array, accuracy: Array) -> int:
    return int(np.lexsort((-accuracy, latency))[0])


def _knee(latency: Array, accuracy: Array) -> int:
    points = np.column_stack([latency, -accuracy])
    front = np.flatnonzero(non_dominated(points))
    return int(front[knee(points[front])])


PREFERENCES: Mapping[str, Preference] = {
    "accuracy": Preference(_most_accurate, "accurate", errors=0.4),
    "balance": Preference(_knee, "knee"),
    "latency": Preference(_fastest, "fastest", costs=0.4),
}
"""By the name that `--prefer` takes."""


def find_preference(name: str) -> Preference:
    """The row of a name; UsageError with the names that there are."""
    if name not in PREFERENCES:
        raise UsageError(f"unknown preference {name!r}; {did_you_mean(name, PREFERENCES)}")
    return PREFERENCES[name]
