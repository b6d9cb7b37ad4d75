"""BANANAS: an ensemble of perceptrons, and mutations of the best, by independent Thompson sampling [1].

Differs from [1] in three ways. The encoding is what the space states (`Space.features`), which for cells are
live operations and paths, and the choices. With costs beside the error they are known exactly, and the drawn
errors are ranked with them. An ensemble is fitted anew for each generation, on all trials.

[1] C. White, W. Neiswanger, Y. Savani. BANANAS: Bayesian Optimization with Neural Architectures for Neural
    Architecture Search. AAAI 2021, arXiv 1910.11858, algorithm 1 and section 5 (ITS).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hwnas.core.arrays import Array
from hwnas.front.expected import Expectation
from hwnas.front.history import History
from hwnas.front.novelty import Novelty
from hwnas.front.strategy import OneOrMore, Propose, StrategyContext, add_strategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hwnas.core.choice import Arch
    from hwnas.core.space import Space


def encoded(space: Space, archs: Sequence[Arch]) -> Array:
    """Features of the space, then one-hot choices: (n, columns)."""
    canonical = [space.canonical(a) for a in archs]
    return np.hstack([*space.features(canonical).values(), space.encode(canonical)])


@add_strategy(
    "bananas",
    title="BANANAS: an ensemble of perceptrons, mutations of the best, Thompson sampling",
    paper="White et al. 2021, BANANAS: Bayesian Optimization with Neural Architectures for Neural "
    "Architecture Search, arXiv 1910.11858",
    first="n_start",
)
def bananas(
    context: StrategyContext,
    *,
    n_start: OneOrMore = 10,
    candidates: OneOrMore = 100,
    parents: OneOrMore = 10,
    predictor_epochs: OneOrMore = 150,
) -> Propose:
    """It wants small populations: 10 in the paper.

    n_start: random evaluations before the ensemble chooses.
    candidates: mutations of the best that the ensemble chooses from, per architecture that is asked.
    parents: how many of the best are mutated.
    predictor_epochs: passes over the trials to fit the ensemble.
    """
    expected = Expectation("bananas", context.problem, context.costs_of)
    space, problem = context.space, context.problem

    def predict(history: History, archs: Sequence[Arch], rng: np.random.Generator) -> Array:
        """A draw of each log error, independently, from what the members predict."""
        from hwnas.front.ensembles import fit_perceptrons

        evaluated = [trial for trial, _ in history.evaluated]
        targets = np.array([expected.log_error(trial) for trial in evaluated])
        known = encoded(space, [space.from_string(trial.arch) for trial in evaluated])
        seed = context.sampler_seed(history.generations)
        members = fit_perceptrons(known, targets, epochs=predictor_epochs, seed=seed)(encoded(space, archs))
        return np.asarray(rng.normal(members.mean(axis=0), members.std(axis=0, ddof=1)))

    def propose(history: History, n: int, novelty: Novelty) -> list[tuple[Arch, str]]:
        evaluated = history.evaluated
        if len(evaluated) < max(n_start, 2):
            return novelty.at_random(n)
        rng = context.rng(history.generations)
        best = np.argsort(problem.places([values for _, values in evaluated]))[:parents]
        sources = [space.from_string(evaluated[i][0].arch) for i in best]
        spare, children = novelty.copy(), list["Arch"]()
        for i in rng.integers(len(sources), size=candidates):
            child = spare.claim(space.mutate(sources[i], rng)) if space.size > 1 else None
            if child is not None:
                children.append(child)
        if not children:
            return novelty.at_random(n)
        chosen = expected.best(children, predict(history, children, rng), n)
        new = [(children[i], "model") for i in chosen if novelty.claim(children[i]) is not None]
        return new + novelty.at_random(n - len(new))

    return propose
