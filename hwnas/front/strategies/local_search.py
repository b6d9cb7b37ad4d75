"""Pareto local search: every neighbour of the front is evaluated, then the search restarts.

With one objective this is local search as in [1]: all neighbours of the best, then those of the new
best, until there is none better. With several the front takes the place of the best [2].

[1] C. White, S. Nolen, Y. Savani. Exploring the Loss Landscape in Neural Architecture Search. UAI 2021,
    arXiv 2005.02960, algorithm 1.
[2] L. Paquete, M. Chiarandini, T. Stützle. Pareto Local Optimum Sets in the Biobjective Traveling
    Salesman Problem: An Experimental Study. Metaheuristics for Multiobjective Optimisation, 2004.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hwnas.front.history import History, Trial
from hwnas.front.neighbours import neighbours
from hwnas.front.novelty import Novelty
from hwnas.front.objectives import TrialValues
from hwnas.front.strategy import Propose, StrategyContext, add_strategy

if TYPE_CHECKING:
    from hwnas.core.choice import Arch

_RESTART = "random"
"""Origin of the architectures that a search starts from, anew once everything near the front is known."""


class LocalSearch:
    """Proposes the neighbours of the front of the run, then of the front since the last restart."""

    def __init__(self, context: StrategyContext) -> None:
        self._context = context
        self._explored: set[str] = set()  # saves work: trials of which no neighbour is new

    def __call__(self, history: History, n: int, novelty: Novelty) -> list[tuple[Arch, str]]:
        """`n` neighbours that were never evaluated; random architectures once there are no more."""
        restarted = max((t.generation for t in history.trials if t.origin == _RESTART), default=0)
        since = [(t, v) for t, v in history.evaluated if t.generation >= restarted]
        new: list[Arch] = []
        for trial in [*self._front(history.evaluated), *self._front(since)]:
            new += self._unexplored(trial, n - len(new), history, novelty)
        return [(arch, "neighbour") for arch in new] + novelty.at_random(n - len(new), _RESTART)

    def _front(self, evaluated: Sequence[tuple[Trial, TrialValues]]) -> list[Trial]:
        """The best constrained rank, in the order of the run."""
        ranks = self._context.problem.ranks([values for _, values in evaluated])
        return [trial for (trial, _), rank in zip(evaluated, ranks, strict=True) if rank == 0]

    def _unexplored(self, trial: Trial, n: int, history: History, novelty: Novelty) -> list[Arch]:
        """Up to `n` new neighbours of an architecture, in random order."""
        if n == 0 or trial.arch in self._explored:
            return []
        near = list(neighbours(self._context.space, self._context.space.from_string(trial.arch)))
        # The order depends on the trial alone, so that a neighbourhood is gone through over generations.
        self._context.rng(trial.number).shuffle(near)
        new: list[Arch] = []
        for arch in near:
            if len(new) < n and (claimed := novelty.claim(arch)) is not None:
                new.append(claimed)
        if not new:
            self._explored.add(trial.arch)
        return new


@add_strategy(
    "local-search",
    title="Pareto local search: evaluates every neighbour of the front, then restarts",
    paper="White et al. 2021, Exploring the Loss Landscape in Neural Architecture Search, arXiv 2005.02960",
)
def local_search(context: StrategyContext) -> Propose:
    """It starts from `population` random architectures, or from the seeds."""
    return LocalSearch(context)
