"""PNAS: cells grow by one block a round; an ensemble ranks all children and the best are evaluated [1].

The first round evaluates every architecture of the smallest size. Each further round grows all that were
evaluated in the round before, predicts the error of the children from all trials so far, and evaluates the
`beam` best of them. After the last round it goes on down the list of the last, then at random.

With costs beside the error, which are known exactly, the children are ranked by dominance and crowding over
predicted error and costs, as in Dong et al. 2018 (DPP-Net, arXiv 1806.08198); over a budget they come last.

[1] C. Liu, B. Zoph, M. Neumann, J. Shlens, W. Hua, L.-J. Li, L. Fei-Fei, A. Yuille, J. Huang, K. Murphy.
    Progressive Neural Architecture Search. ECCV 2018, arXiv 1712.00559, algorithm 1 and appendix A.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from hwnas.core.arrays import Array
from hwnas.core.growing import GrowingSpace
from hwnas.front.expected import Expectation
from hwnas.front.history import History, Trial
from hwnas.front.novelty import Novelty
from hwnas.front.strategy import OneOrMore, Propose, StrategyContext, add_strategy

from .bananas import encoded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hwnas.core.choice import Arch


class Progressive:
    """Proposes round by round. The lists of the rounds follow from the trials and are kept to save work."""

    def __init__(
        self, context: StrategyContext, space: GrowingSpace, beam: int, predictor: str, predictor_epochs: int
    ) -> None:
        self._context, self._growing, self._beam = context, space, beam
        self._predictor, self._epochs = predictor, predictor_epochs
        self._expected = Expectation("pnas", context.problem, context.costs_of)
        self._rounds: dict[int, list[Arch]] = {}

    def __call__(self, history: History, n: int, novelty: Novelty) -> list[tuple[Arch, str]]:
        """`n` of the current round. What is missing in its last generation comes further down its list."""
        size = self._size(history)
        new: list[tuple[Arch, str]] = []
        for arch in self._round(size, history):
            if len(new) == n:
                break
            if (claimed := novelty.claim(arch)) is not None:
                new.append((claimed, f"size {size}"))
        return new + novelty.at_random(n - len(new))

    def _size(self, history: History) -> int:
        """Of the architectures that are evaluated now: the first whose round is not complete."""
        done = {t.arch for t in history.trials}
        for size in range(1, self._growing.n_sizes):
            listed = self._round(size, history)
            wanted = listed if size == 1 else listed[: self._beam]
            if any(self._context.space.key(arch) not in done for arch in wanted):
                return size
        return self._growing.n_sizes

    def _round(self, size: int, history: History) -> list[Arch]:
        """What may be evaluated at a size, the best first, by what was known after the size before."""
        if size not in self._rounds:
            if size == 1:
                archs = list(self._growing.smallest())
                order = self._context.rng(0).permutation(len(archs))
                self._rounds[1] = [archs[i] for i in order]
            else:
                self._rounds[size] = self._ranked(size, history)
        return self._rounds[size]

    def _ranked(self, size: int, history: History) -> list[Arch]:
        """The children of what was evaluated at the size before, by predicted error and costs."""
        space = self._context.space
        known = self._before(size, history)
        parents = [a for a in map(space.from_string, known) if self._growing.size_of(a) == size - 1]
        children = list(dict.fromkeys(child for parent in parents for child in self._growing.grown(parent)))
        if not children or len(known) < 2:
            return children
        order = self._expected.best(children, self._predict(list(known.values()), children), len(children))
        return [children[i] for i in order]

    def _before(self, size: int, history: History) -> dict[str, Trial]:
        """The trials up to the generation that completed the round before, by architecture."""
        listed = self._round(size - 1, history)
        wanted = {self._context.space.key(a) for a in (listed if size == 2 else listed[: self._beam])}
        last = max((t.generation for t in history.trials if t.arch in wanted), default=-1)
        return {t.arch: t for t, _ in history.evaluated if t.generation <= last}

    def _predict(self, trials: Sequence[Trial], archs: Sequence[Arch]) -> Array:
        """The mean of the members' log errors."""
        from hwnas.front.ensembles import fit_perceptrons, fit_recurrent

        space, targets = self._context.space, np.array([self._expected.log_error(t) for t in trials])
        known = [space.from_string(t.arch) for t in trials]
        seed = self._context.sampler_seed(trials[-1].generation)
        if self._predictor == "mlp":
            fitted = fit_perceptrons(encoded(space, known), targets, epochs=self._epochs, seed=seed)
            return np.asarray(fitted(encoded(space, archs)).mean(axis=0))
        recurrent = fit_recurrent(space.indices(known), targets, epochs=self._epochs, seed=seed)
        return np.asarray(recurrent(space.indices(archs)).mean(axis=0))


@add_strategy(
    "pnas",
    title="PNAS: grows cells by a block a round; an ensemble ranks them, the best are evaluated",
    paper="Liu et al. 2018, Progressive Neural Architecture Search, arXiv 1712.00559",
    grows=True,
)
def pnas(
    context: StrategyContext,
    *,
    beam: OneOrMore = 256,
    predictor: Literal["mlp", "lstm"] = "mlp",
    predictor_epochs: OneOrMore = 150,
) -> Propose:
    """For spaces whose architectures grow, such as `pnas`.

    beam: how many are evaluated in each round after the first.
    predictor: mlp, perceptrons on the features of the space; lstm, recurrent networks on the choices.
    predictor_epochs: passes over the trials to fit the ensemble, once a round.
    """
    assert isinstance(context.space, GrowingSpace)  # as the row requires
    return Progressive(context, context.space, beam, predictor, predictor_epochs)
