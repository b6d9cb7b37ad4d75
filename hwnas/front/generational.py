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
from .strategy import Forecast, Forecaster, Propose, StrategyContext, generation_entropy

if TYPE_CHECKING:
    from hwnas.core.choice import Arch
    from hwnas.evaluators import EvaluationFailed, Metrics


STORED = "stored"
"""Origin of trials that an earlier search left: generation 0, before anything is asked."""


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
        self.history = History(
            context.space, context.problem, max_failures=max_failures, prices=context.prices
        )
        self.exhausted = False
        self.propose = propose
        self._asked: list[tuple[Arch, str]] = []

    @property
    def identity(self) -> dict[str, Any]:
        """What decides this search, as JSON; a resumed run must have the same."""
        space, problem = self.context.space, self.context.problem
        soft = {b.metric: b.margin for b in problem.budgets if b.margin}
        identity = {
            "strategy": self.name,
            "space": space.name,
            "choices": {c.name: list(c.options) for c in space.choices},
            "objectives": [f"{'max' if o.maximise else 'min'} {o.metric}" for o in problem.objectives],
            "budgets": {b.metric: b.limit for b in problem.budgets},
            **({"margins": soft} if soft else {}),
            **({"prices": list(self.context.prices)} if len(self.context.prices) > 1 else {}),
            **({"prefer": problem.prefer} if problem.prefer else {}),
            "population": self.context.population,
            "seed": self.context.seed,
            "seeds": [space.key(a) for a in self.seeds],
        }
        return identity | ({"options": self.options} if self.options else {})

    def ask(self, n: int | None = None) -> list[Arch]:
        """The next generation; repeated until `tell`, it answers the same.

        Fewer than `population` only when `exhausted`: the space holds no more, or is too large to
        list and 100 random draws gave nothing new.

        n: so many more, while those that were asked and not told yet go on being evaluated. None: a whole
            generation, and those are forgotten.
        """
        if n is None:
            self._asked = []
        wanted = self.context.population if n is None else n
        if wanted < 1:
            raise UsageError(f"ask() takes a number from 1, got {n}")
        space, generation = self.context.space, self.history.generations
        pending = [arch for arch, _ in self._asked]
        rng = np.random.default_rng(generation_entropy(self.context.seed, generation, 0))
        novelty = Novelty(space, self.history.keys, rng, map(space.key, pending))
        asked = [(arch, "seed") for arch in map(novelty.claim, self.seeds) if arch is not None]
        asked = asked if n is None else asked[:n]
        if len(asked) < wanted:
            self.history.pending = [*pending, *(arch for arch, _ in asked)]
            asked += self.propose(self.history, wanted - len(asked), novelty)
        self._asked += asked
        self.exhausted = len(asked) < wanted
        return [arch for arch, _ in asked]

    def tell(self, archs: Sequence[Arch], metrics: Sequence[Metrics | EvaluationFailed]) -> list[Trial]:
        """Record the metrics of architectures that were asked, in the order of asking, as one generation."""
        answered = set(archs)
        told = [(arch, origin) for arch, origin in self._asked if arch in answered]
        if not told or [arch for arch, _ in told] != list(archs):
            raise UsageError(
                "tell() takes architectures that the last ask() gave, in that order and each once"
            )
        trials = self.history.add(archs, [origin for _, origin in told], metrics)
        self._asked = [entry for entry in self._asked if entry[0] not in answered]
        return trials

    def forecast(self, archs: Sequence[Arch]) -> list[Forecast] | None:
        """What the strategy expects of architectures; None without a model, or too early for one."""
        propose: object = self.propose
        return propose.forecast(self.history, archs) if isinstance(propose, Forecaster) else None

    def restore(self, stored: Sequence[Mapping[str, Any]]) -> None:
        """Go on after stored trials (`load_trials`) as if the run had never stopped."""
        self.history.restore(stored)
