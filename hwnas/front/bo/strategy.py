"""Bayesian search as a strategy of the loop: the one file that knows both the search and the run's record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hwnas.core.budget import METRICS
from hwnas.front.generational import Generational
from hwnas.front.history import Row
from hwnas.front.objectives import Goals
from targets.errors import UsageError

from .candidates import PoolSize
from .catalogue import Costs
from .search import BayesianSearch
from .task import Observation, Task

if TYPE_CHECKING:
    from hwnas.core.mix import Arch
    from hwnas.core.space import Space


class BayesianStrategy(Generational):
    """Ask and tell in batches of `population`; a batch follows from the seed and the rows before it.

    search: what proposes. predicted: the one objective that only an evaluation gives.
    """

    def __init__(
        self,
        space: Space,
        goals: Goals,
        price: Costs,
        *,
        population: int,
        seed: int,
        seeds: Sequence[Arch] = (),
        max_failures: int = 10,
        n_start: int = 5,
        pool: PoolSize | None = None,
    ) -> None:
        super().__init__(
            "bo",
            lambda ledger, n, novelty: [],
            space,
            goals,
            population=population,
            seed=seed,
            seeds=seeds,
            max_failures=max_failures,
        )
        self.predicted, task = split_goals(goals)
        self.search = BayesianSearch(space, price, task, seed=seed, seeds=seeds, n_start=n_start, pool=pool)
        self._n_start, self._asked_at = n_start, -1

    @property
    def question(self) -> dict[str, Any]:
        """What the rows answer, with the length of the start, which the proposals depend on."""
        return {**super().question, "n_start": self._n_start}

    def ask(self) -> list[Arch]:
        """The next batch; repeated until `tell`, it answers the same.

        Fewer than `population` only when `exhausted`: the space holds no more inside the budgets, or is too
        large to list and no more were met.
        """
        if self._asked_at != len(self.ledger.rows) or not self._asked:
            self._asked = self.search.propose(self.observations(), self.population)
            self._asked_at = len(self.ledger.rows)
        self.exhausted = len(self._asked) < self.population
        return [arch for arch, _ in self._asked]

    def observations(self) -> list[Observation]:
        """The rows so far as the search reads them."""
        space = self.ledger.space
        return [Observation(space.from_string(row.arch), self._error(row)) for row in self.ledger.rows]

    def _error(self, row: Row) -> float | None:
        if row.failure is not None:
            return None
        value = row.metrics[self.predicted]
        return 1 - value if "accuracy" in self.predicted else value


def split_goals(goals: Goals) -> tuple[str, Task]:
    """The objective that has to be predicted, and the rest, which is known."""
    names = [o.metric for o in goals.objectives]
    known = [name for name in names if name.split("@")[0] in METRICS]
    predicted = [name for name in names if name not in known]
    if len(predicted) != 1:
        raise UsageError(
            f"a Bayesian search predicts exactly one objective, got {', '.join(predicted) or 'none'}; give "
            f"one of val_accuracy and val_loss, and costs beside it"
        )
    limits = {b.metric: b.limit for b in goals.budgets}
    return predicted[0], Task(known=tuple(known), limits=limits, worst=dict(goals.worst))


def bo(
    space: Space,
    goals: Goals,
    price: Costs,
    *,
    population: int,
    seed: int,
    seeds: Sequence[Arch] = (),
    max_failures: int = 10,
    n_start: int = 5,
) -> BayesianStrategy:
    """Bayesian search for the Pareto front with few evaluations.

    price: every objective but one, and every budget, per architecture and without an evaluation.
    population: evaluations between two looks at the results; 5 and fewer are the most frugal.
    seeds: architectures that come first where they keep the budgets, such as those of a gradient search.
    n_start: evaluations, seeds included, before the surrogate chooses.
    """
    return BayesianStrategy(
        space,
        goals,
        price,
        population=population,
        seed=seed,
        seeds=seeds,
        max_failures=max_failures,
        n_start=n_start,
    )
