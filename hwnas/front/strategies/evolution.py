"""Regularised evolution: the winner of a tournament gets a mutated child, and the oldest leaves [1].

With several objectives the winner is the one of the best constrained rank, then of the largest
crowding distance; with one objective that is the best one, as published.

Differs from [1] in two ways. The children of one generation have their parents in the same
population, as those of parallel workers, and as many of the oldest leave together. A child that was
evaluated before is mutated until it is new.

[1] E. Real, A. Aggarwal, Y. Huang, Q. V. Le. Regularized Evolution for Image Classifier Architecture
    Search. AAAI 2019, arXiv 1802.01548, algorithm 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwnas.front.history import History
from hwnas.front.novelty import Novelty
from hwnas.front.strategy import OneOrMore, Propose, StrategyContext, add_strategy

if TYPE_CHECKING:
    from hwnas.core.choice import Arch


@add_strategy(
    "evolution",
    title="Regularised evolution: mutates the winner of a tournament, the oldest leaves",
    paper="Real et al. 2019, Regularized Evolution for Image Classifier Architecture Search, "
    "arXiv 1802.01548",
    first="alive",
)
def evolution(context: StrategyContext, *, alive: OneOrMore = 100, tournament: OneOrMore = 25) -> Propose:
    """alive: size of the population, which random architectures fill first. tournament: drawn per child."""

    def propose(history: History, n: int, novelty: Novelty) -> list[tuple[Arch, str]]:
        parents = history.evaluated[-alive:]
        if len(parents) < alive:
            return novelty.at_random(n)
        rng = context.rng(history.generations)
        place = context.problem.places([values for _, values in parents])
        children: list[tuple[Arch, str]] = []
        for _ in range(n):
            drawn = rng.integers(len(parents), size=tournament)  # with replacement, as in [1]
            winner, _ = parents[min(drawn, key=lambda i: place[i])]
            child = novelty.near(context.space.from_string(winner.arch))
            if child is None:
                break
            children.append((child, "child"))
        return children

    return propose
