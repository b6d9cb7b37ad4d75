"""What genetic strategies share: parents by tournament, crossover, mutation, and who survives.

The survivors of a run follow from its trials, generation by generation; what is kept of them between calls
only saves work.

References:
[1] K. Deb, A. Pratap, S. Agarwal, T. Meyarivan. A fast and elitist multiobjective genetic algorithm: NSGA-II.
    IEEE Transactions on Evolutionary Computation 6(2), 2002.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .history import History, Trial
from .novelty import Novelty
from .objectives import TrialValues
from .strategy import StrategyContext

if TYPE_CHECKING:
    from hwnas.core.choice import Arch

CROSSOVER = 0.9
"""Probability that a child has two parents ([1], section V)."""

Evaluated = Sequence[tuple[Trial, TrialValues]]
Survive = Callable[[Evaluated, int, np.random.Generator], list[int]]
"""(evaluated trials, how many survive, random draws) -> their indices, the best first."""


class Population:
    """The survivors of the generations so far, the best first."""

    def __init__(self, context: StrategyContext, survive: Survive) -> None:
        self._context, self._survive = context, survive
        self._alive: list[tuple[Trial, TrialValues]] = []
        self._selected = 0  # generations that the survivors were selected from

    def of(self, history: History) -> list[tuple[Trial, TrialValues]]:
        """At most `population` of them. Failed trials do not survive."""
        while self._selected < history.generations:
            new = [(t, t.values) for t in history.of_generation(self._selected) if t.values is not None]
            pool = self._alive + new
            kept = self._survive(pool, self._context.population, self._context.rng(self._selected))
            self._alive = [pool[i] for i in kept]
            self._selected += 1
        return self._alive


class Breeder:
    """Makes children of survivors, each new: a bred duplicate is mutated until it is."""

    def __init__(self, context: StrategyContext, population: Population) -> None:
        self._context, self._population = context, population

    def children(
        self, history: History, n: int, novelty: Novelty, rng: np.random.Generator
    ) -> list[tuple[Arch, str]]:
        """`n` of them; fewer when none is left, and none when fewer than two survive."""
        space = self._context.space
        alive = self._population.of(history)
        if len(alive) < 2:
            return []
        parents = [space.from_string(trial.arch) for trial, _ in alive]
        new: list[tuple[Arch, str]] = []
        for i, j in tournament(len(parents), n, rng):
            both = i != j and rng.random() < CROSSOVER
            child = space.cross_over(parents[i], parents[j], rng) if both else parents[i]
            child = space.redrawn(child, rng, 1 / len(space.choices))
            if (entry := novelty.claim_or_mutate(child, "child")) is not None:
                new.append(entry)
        return new


def tournament(n_alive: int, n_children: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Parents of each child: each the better of two that are drawn. The best survivor has index 0."""
    drawn = rng.integers(n_alive, size=(n_children, 2, 2)).min(axis=2)
    return [(int(i), int(j)) for i, j in drawn]
