"""Bayesian search: the front with tens of evaluations, where all costs are known before them.

The search itself is `hwnas.front.bo`; here it reads the history of a run.

[1] M. Emmerich, K. Giannakoglou, B. Naujoks. Single- and Multiobjective Evolutionary Optimization Assisted by
    Gaussian Random Field Metamodels. IEEE Transactions on Evolutionary Computation 10(4), 2006.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hwnas.front.expected import error_of, predicted_objective
from hwnas.front.history import History, Trial
from hwnas.front.novelty import Novelty
from hwnas.front.objectives import Problem
from hwnas.front.preference import find_preference
from hwnas.front.strategy import Forecast, OneOrMore, Propose, StrategyContext, add_strategy
from targets.errors import UsageError

if TYPE_CHECKING:
    from hwnas.core.choice import Arch
    from hwnas.front.bo import BayesianSearch, Observation, Sought


class BayesianProposals:
    """Proposes what the search does, given the trials of the history."""

    def __init__(self, context: StrategyContext, search: BayesianSearch, predicted: str) -> None:
        self.search, self.predicted, self._space = search, predicted, context.space

    def __call__(self, history: History, n: int, novelty: Novelty) -> list[tuple[Arch, str]]:
        """`n` proposals; fewer where the space holds no more inside the budgets, or no more were met."""
        observed = self.observations(history)
        new: list[tuple[Arch, str]] = []
        refused = list(history.pending)  # seeds of this generation too: asked, and not answered
        while len(new) < n:
            pending = [*refused, *(arch for arch, _ in new)]
            proposals = self.search.propose(observed, n - len(new), pending=pending)
            if not proposals:
                break
            for arch, origin in proposals:
                if novelty.claim(arch) is None:
                    refused.append(arch)
                else:
                    new.append((arch, origin))
        return new

    def observations(self, history: History) -> list[Observation]:
        """The trials as the search reads them."""
        from hwnas.front.bo import Observation

        return [Observation(self._space.from_string(t.arch), self._error(t)) for t in history.trials]

    def forecast(self, history: History, archs: Sequence[Arch]) -> list[Forecast] | None:
        """The posterior of the surrogate, given the trials of the history."""
        return self.search.forecast(self.observations(history), archs)

    def _error(self, trial: Trial) -> float | None:
        if trial.failure is not None:
            return None
        return error_of(trial.metrics[self.predicted], self.predicted)


def split_problem(strategy: str, problem: Problem) -> tuple[str, Sought]:
    """The objective that has to be predicted, and the rest, which is known."""
    from hwnas.front.bo import Sought

    predicted = predicted_objective(strategy, problem)
    known = tuple(o.metric for o in problem.objectives if o.metric != predicted)
    limits = {b.metric: b.largest for b in problem.budgets}
    soft = {b.metric: (b.limit, b.margin) for b in problem.budgets if b.margin}
    region = find_preference(problem.prefer) if problem.prefer else None
    return predicted, Sought(
        known=known,
        limits=limits,
        worst=dict(problem.worst),
        soft=soft,
        errors=region.errors if region else 1.0,
        costs=region.costs if region else 1.0,
    )


def bayesian_proposals(strategy: str, context: StrategyContext, n_start: int) -> BayesianProposals:
    """The search for a context, on behalf of a strategy, whose name the messages say."""
    from hwnas.front.bo import BayesianSearch

    if context.costs_of is None:
        raise UsageError(
            f"strategy {strategy!r} needs the costs of architectures before an evaluation; give costs_of"
        )
    predicted, task = split_problem(strategy, context.problem)
    search = BayesianSearch(
        context.space,
        context.costs_of,
        task,
        seed=context.seed,
        n_start=n_start,
        features_of=context.features_of,
        n_images=context.n_images if "accuracy" in predicted else None,
    )
    return BayesianProposals(context, search, predicted)


@add_strategy(
    "bo",
    one_prediction=True,
    title="Bayesian search: a Gaussian process, and the expected hypervolume improvement over exact costs",
    paper="Emmerich et al. 2006, Single- and Multiobjective Evolutionary Optimization Assisted by Gaussian "
    "Random Field Metamodels, IEEE TEC 10(4)",
)
def bayesian_search(context: StrategyContext, *, n_start: OneOrMore = 5) -> Propose:
    """It wants small populations: 1 to 5 up to 300 evaluations.

    n_start: evaluations, seeds included, before the Gaussian process chooses; until then the seeds, and the
        largest networks at evenly spread costs.
    """
    return bayesian_proposals("bo", context, n_start)
