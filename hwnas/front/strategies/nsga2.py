"""NSGA-II [1]: the best constrained ranks survive, then those of the largest crowding distance.

With `oversample` above 1 more children are bred than wanted, and the surrogate of the Bayesian search keeps
those that are expected to be the best: for spaces where thousands are evaluated.

[1] K. Deb, A. Pratap, S. Agarwal, T. Meyarivan. A fast and elitist multiobjective genetic
    algorithm: NSGA-II. IEEE Transactions on Evolutionary Computation 6(2), 2002.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hwnas.front.breeding import Breeder, Evaluated, Population, Survive
from hwnas.front.expected import Expectation
from hwnas.front.history import History
from hwnas.front.novelty import Novelty
from hwnas.front.strategy import OneOrMore, Propose, StrategyContext, add_strategy

from .bo import bayesian_proposals

if TYPE_CHECKING:
    from hwnas.core.choice import Arch


@add_strategy(
    "nsga2",
    title="NSGA-II: non-dominated sorting with constraints, crowding, crossover and mutation",
    paper="Deb et al. 2002, A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II",
    least_population=2,
)
def nsga2(context: StrategyContext, *, oversample: OneOrMore = 1) -> Propose:
    """The population is that of the context.

    oversample: children bred per child that is evaluated; the surrogate keeps those expected to be the best.
    """
    population = Population(context, crowded(context))
    breeder = Breeder(context, population)
    keep = None if oversample == 1 else Filter(context, population)

    def propose(history: History, n: int, novelty: Novelty) -> list[tuple[Arch, str]]:
        rng = context.rng(history.generations)
        if keep is None:
            new = breeder.children(history, n, novelty, rng)
        else:
            bred = breeder.children(history, n * oversample, novelty.copy(), rng)
            new = [(arch, origin) for arch, origin in keep(history, bred, n) if novelty.claim(arch)]
        return new + novelty.at_random(n - len(new))

    return propose


def crowded(context: StrategyContext) -> Survive:
    """The best constrained ranks, then the largest crowding distances ([1], section III-C)."""

    def survive(pool: Evaluated, n: int, rng: np.random.Generator) -> list[int]:
        return [int(i) for i in np.argsort(context.problem.places([values for _, values in pool]))[:n]]

    return survive


class Filter:
    """Keeps the children that are expected to be the best among themselves and the survivors."""

    def __init__(self, context: StrategyContext, population: Population) -> None:
        self._population = population
        self._surrogate = bayesian_proposals("nsga2", context, n_start=1)
        self._expected = Expectation("nsga2", context.problem, context.costs_of)

    def __call__(
        self, history: History, bred: Sequence[tuple[Arch, str]], n: int
    ) -> Sequence[tuple[Arch, str]]:
        """`n` of those that were bred; the first ones as long as the surrogate knows too little."""
        archs = [arch for arch, _ in bred]
        forecasts = self._surrogate.forecast(history, archs) if archs else None
        if forecasts is None:
            return bred[:n]
        log_errors = np.array([f.log_error for f in forecasts])
        alive = [values for _, values in self._population.of(history)]
        return [bred[i] for i in self._expected.best(archs, log_errors, n, alive)]
