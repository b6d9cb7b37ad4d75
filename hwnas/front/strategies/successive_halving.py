"""Successive halving: many architectures are evaluated briefly, and the best of them more thoroughly [1].

A bracket is `width` random architectures at the cheapest fidelity, such as a few epochs. The best one in
`eta` goes on to the next fidelity, until the last, whose trials make the front. Then comes the next bracket.
The best are those of the best constrained rank, then of the largest crowding distance [2]; with one objective
that is the published order.

Differs from [1] in two ways. Brackets of one size follow each other for as long as there is budget, which is
one row of Hyperband [3]. With budgets on known costs, architectures inside them are drawn first.

[1] K. Jamieson, A. Talwalkar. Non-stochastic Best Arm Identification and Hyperparameter Optimization. AISTATS
    2016, arXiv 1502.07943, figure 1.
[2] R. Schmucker, M. Donini, M. B. Zafar, D. Salinas, C. Archambeau. Multi-objective Asynchronous Successive
    Halving. 2021, arXiv 2106.12639, section 3.
[3] L. Li, K. Jamieson, G. DeSalvo, A. Rostamizadeh, A. Talwalkar. Hyperband: A Novel Bandit-Based Approach to
    Hyperparameter Optimization. JMLR 18, 2018, arXiv 1603.06560.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hwnas.front.history import History, Trial
from hwnas.front.novelty import Novelty
from hwnas.front.strategy import OneOrMore, Propose, StrategyContext, TwoOrMore, add_strategy

if TYPE_CHECKING:
    from hwnas.core.choice import Arch

_DRAWS = 8
"""Random architectures per one that is asked, of which those inside the budgets come first."""


class Brackets:
    """Proposes what is next in the first bracket that is not done; all of it follows from the trials."""

    def __init__(self, context: StrategyContext, width: int, eta: int) -> None:
        self._context, self._width, self._eta = context, width, eta
        self._n_done = 0  # brackets at the beginning that need no more, which saves looking at them again

    def __call__(self, history: History, n: int, novelty: Novelty) -> list[tuple[Arch, str]]:
        """`n` proposals: promotions first, then new architectures of the last bracket."""
        space = self._context.space
        pending = set(map(space.key, history.pending))
        first = [t for t in history.trials if t.fidelity == 0]
        brackets = [first[i : i + self._width] for i in range(0, len(first), self._width)]
        begun = brackets.pop() if brackets and len(brackets[-1]) < self._width else []
        trials = {(t.arch, t.fidelity): t for t in history.trials}
        keys: list[str] = []
        for bracket in brackets[self._n_done :]:
            missing = self.promoted(bracket, trials)
            if missing == [] and bracket is brackets[self._n_done]:
                self._n_done += 1
            keys += [key for key in missing or () if key not in pending]
        keys = keys[:n]
        new = self._fresh(n - len(keys), novelty)
        if len(keys) + len(new) < n and begun and not pending:  # nothing is left that could fill it
            keys += (self.promoted(begun, trials) or [])[: n - len(keys) - len(new)]
        return [*((space.from_string(key), "promoted") for key in keys), *new]

    def promoted(self, bracket: Sequence[Trial], trials: Mapping[tuple[str, int], Trial]) -> list[str] | None:
        """The members of a bracket that are due at their next fidelity; None while others are waited for.

        trials: by architecture and fidelity. None is due where the bracket is done.
        """
        members = [t.arch for t in bracket]
        for fidelity in range(1, len(self._context.prices)):
            rung = [trials.get((arch, fidelity - 1)) for arch in members]
            if None in rung:
                return None
            evaluated = [(t, t.values) for t in rung if t is not None and t.values is not None]
            if not evaluated:
                return []
            order = np.argsort(self._context.problem.places([v for _, v in evaluated]), kind="stable")
            n = max(1, len(bracket) // self._eta**fidelity)
            members = [evaluated[i][0].arch for i in order[:n]]
            if missing := [arch for arch in members if (arch, fidelity) not in trials]:
                return missing
        return []

    def _fresh(self, n: int, novelty: Novelty) -> list[tuple[Arch, str]]:
        problem, costs_of = self._context.problem, self._context.costs_of
        new: list[tuple[Arch, str]] = []
        if problem.budgets and costs_of is not None and n > 0:
            drawn = [arch for arch, _ in novelty.copy().at_random(_DRAWS * n)]
            costs = costs_of(drawn) if drawn else {}
            known = [b for b in problem.budgets if b.metric in costs]
            inside = np.all(
                [costs[b.metric] <= b.largest for b in known] or [np.ones(len(drawn), dtype=np.bool_)], axis=0
            )
            for i in np.flatnonzero(inside)[:n]:
                if (arch := novelty.claim(drawn[i])) is not None:
                    new.append((arch, "random"))
        return new + novelty.at_random(n - len(new))


@add_strategy(
    "successive-halving",
    title="Successive halving: many short evaluations, the best go on to longer ones",
    paper="Jamieson & Talwalkar 2016, Non-stochastic Best Arm Identification and Hyperparameter "
    "Optimization, arXiv 1502.07943",
    several_fidelities=True,
)
def successive_halving(context: StrategyContext, *, width: OneOrMore = 27, eta: TwoOrMore = 3) -> Propose:
    """For trainings of several lengths, and tables with fidelities.

    width: architectures that begin a bracket.
    eta: one in so many goes on to the next fidelity.
    """
    return Brackets(context, width, eta)
