"""Ask and tell by generations, for every strategy.

A generation follows from (seed, number of the generation, trials so far) and from nothing else: no
random state lives on from one generation to the next. A run that is killed anywhere and restored
from its trials therefore goes on with the same architectures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from targets.errors import UsageError

from .history import History, Trial
from .novelty import Novelty
from .strategy import Propose, StrategyContext, generation_entropy

if TYPE_CHECKING:
    from hwnas.core.choice import Arch
    from hwnas.evaluators import EvaluationFailed, Metrics


STORED = "stored"
"""Origin of trials that an earlier search left: generation 0, which what is asked first follows."""


class Generational:
    """Ask and tell by generations of `population` architectures, none of which comes twice.

    name: of the strategy.
    propose: what makes it one.
    context: space, problem, population and seed.
    seeds: architectures that generation 0 holds before those that are proposed.
    options: of the strategy, as JSON.
    max_failures: how many evaluations in a row may fail before the search stops.
    exhausted: the last `ask` found fewer new architectures than `population`.
    """

    def __init__(
        self,
        name: str,
        propose: Propose,
        context: StrategyContext,
        *,
        seeds: Sequence[Arch] = (),
        options: Mapping[str, Any] | None = None,
        max_failures: int = 10,
    ) -> None:
        self.name, self.context, self.seeds = name, context, tuple(seeds)
        self.options = dict(options or {})
        self.history = History(context.space, context.problem, max_failures=max_failures)
        self.exhausted = False
        self.propose = propose
        self._asked: list[tuple[Arch, str]] = []

    @property
    def identity(self) -> dict[str, Any]:
        """What decides this search, as JSON; a resumed run must have the same."""
        space, problem = self.context.space, self.context.problem
        identity = {
            "strategy": self.name,
            "space": space.name,
            "choices": {c.name: list(c.options) for c in space.choices},
            "objectives": [f"{'max' if o.maximise else 'min'} {o.metric}" for o in problem.objectives],
            "budgets": {b.metric: b.limit for b in problem.budgets},
            "population": self.context.population,
            "seed": self.context.seed,
            "seeds": [space.key(a) for a in self.seeds],
        }
        return identity | ({"options": self.options} if self.options else {})

    def ask(self, most: int | None = None) -> list[Arch]:
        """The next generation; repeated until `tell`, it answers the same.

        most: an upper limit on it, seeds included; None is none. Fewer than this and `population` only when
        `exhausted`: the space holds no more, or is too large to list and 100 random draws gave nothing new.
        """
        generation = self.history.generations
        population = min(self.context.population, self.context.population if most is None else most)
        rng = np.random.default_rng(generation_entropy(self.context.seed, generation, 0))
        novelty = Novelty(self.context.space, self.history.keys, rng)
        seeds = self.seeds[:most] if all(t.origin == STORED for t in self.history.trials) else ()
        asked = [(arch, "seed") for arch in map(novelty.claim, seeds) if arch is not None]
        if len(asked) < population:
            asked += self.propose(self.history, population - len(asked), novelty)
        self._asked = asked
        self.exhausted = len(self._asked) < population
        return [arch for arch, _ in self._asked]

    def tell(self, archs: Sequence[Arch], metrics: Sequence[Metrics | EvaluationFailed]) -> list[Trial]:
        """Record the metrics of the architectures that were asked, one generation as a whole."""
        if not self._asked or [arch for arch, _ in self._asked] != list(archs):
            raise UsageError("tell() takes the architectures of the last ask(), in that order and once")
        trials = self.history.add(archs, [origin for _, origin in self._asked], metrics)
        self._asked = []
        return trials

    def restore(self, stored: Sequence[Mapping[str, Any]]) -> None:
        """Go on after stored trials (`load_trials`) as if the run had never stopped."""
        self.history.restore(stored)
