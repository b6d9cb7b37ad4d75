"""What the surrogate of a Bayesian search believes, as the record of the front says it.

Picks and repeats go by the posterior mean of the error, not by the smallest error that was observed. What was
expected of an architecture before it was trained stands beside what came out, so that the report can say how
well the surrogate is calibrated.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwnas.core.choice import Arch
from hwnas.front import Generational, Trial
from hwnas.front.bo import BayesianSearch, Observation, estimated_front, estimates, repeats
from hwnas.front.bo.search import MODEL
from hwnas.front.expected import error_of
from hwnas.front.strategies.bo import BayesianProposals

_FEWEST = 3
"""Different answers that a surrogate needs."""


@dataclass(frozen=True)
class Beliefs:
    """Of one search; empty for a strategy without a surrogate, and where too little was evaluated.

    search: its surrogate. observed: evaluations and second trainings. by_arch: what the record says of each.
    """

    search: BayesianSearch | None
    observed: Sequence[Observation]
    by_arch: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(cls, strategy: Generational, second: Sequence[Mapping[str, Any]]) -> Beliefs:
        """What the trials of `strategy` and second trainings tell."""
        propose, trials = strategy.propose, strategy.history.trials
        if not isinstance(propose, BayesianProposals) or sum(t.failure is None for t in trials) < _FEWEST:
            return cls(None, (), {})
        space, search = strategy.context.space, propose.search
        observed = propose.observations(strategy.history)
        again = [
            Observation(space.from_string(r["arch"]), error_of(r[propose.predicted], propose.predicted))
            for r in second
        ]
        by_arch: dict[str, dict[str, float]] = {}
        if propose.predicted != "val_accuracy":  # the record is of accuracies
            return cls(search, [*observed, *again], by_arch)
        for estimate in estimates(search, [*observed, *again]):
            by_arch[space.key(estimate.arch)] = {
                "estimated_error": estimate.error,
                "estimated_low": estimate.low,
                "estimated_high": estimate.high,
            }
        for key, expected in _expected(search, trials, observed).items():
            by_arch.setdefault(key, {}).update(expected)
        return cls(search, [*observed, *again], by_arch)

    def of_arch(self, key: str) -> Mapping[str, float]:
        """Its `estimated_error` with interval, and `expected_…` where the surrogate proposed it."""
        return self.by_arch.get(key, {})

    def front(self) -> list[str]:
        """Keys of the front by posterior means, inside the budgets, the fastest first."""
        if self.search is None:
            return []
        space = self.search.catalogue.space
        return [space.key(e.arch) for e in estimated_front(self.search, self.observed)]

    def to_repeat(self, n: int) -> list[Arch]:
        """Up to `n` members of the front that cannot be told from a neighbour."""
        return [] if self.search is None else repeats(self.search, self.observed, n)


def _expected(
    search: BayesianSearch, trials: Sequence[Trial], observed: Sequence[Observation]
) -> dict[str, dict[str, float]]:
    """Error and deviation of the log error of one training, by what was known before each batch."""
    expected: dict[str, dict[str, float]] = {}
    for _, batch in itertools.groupby(trials, key=lambda t: t.generation):
        members = list(batch)
        proposed = [i for i in (t.number for t in members) if trials[i].origin == MODEL]
        if not proposed:
            continue
        forecasts = search.forecast(observed[: members[0].number], [observed[i].arch for i in proposed])
        for i, forecast in zip(proposed, forecasts or [], strict=True):
            expected[trials[i].arch] = {
                "expected_error": forecast.error,
                "expected_deviation": forecast.observed_deviation,
            }
    return expected
