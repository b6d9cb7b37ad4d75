"""What a search found, with the noise of the evaluations taken out: the front, a pick, what to repeat.

All of it goes by the posterior mean of the error and never by the smallest error that was observed, which of
many noisy ones is too good to be true.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .search import BayesianSearch
from .task import Observation

if TYPE_CHECKING:
    from hwnas.core.choice import Arch

_DEVIATIONS = 2.0
"""Half the width of an interval, in posterior deviations of log error."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """An observed architecture. error: posterior median; low, high: its interval; costs: by metric."""

    arch: Arch
    error: float
    low: float
    high: float
    costs: Mapping[str, float]


def estimates(search: BayesianSearch, observed: Sequence[Observation]) -> list[Estimate]:
    """Every architecture that was evaluated, once, in the order of its first evaluation."""
    model = search.model(observed)
    half = _DEVIATIONS * model.deviation
    bounds = np.exp([model.mean, model.mean - half, model.mean + half]).T.tolist()
    catalogue = search.catalogue
    return [
        Estimate(
            arch=catalogue.archs[row],
            error=error,
            low=low,
            high=high,
            costs=dict(zip(catalogue.metrics, catalogue.costs[row].tolist(), strict=True)),
        )
        for row, (error, low, high) in zip(model.rows.tolist(), bounds, strict=True)
    ]


def estimated_front(search: BayesianSearch, observed: Sequence[Observation]) -> list[Estimate]:
    """The estimates inside the budgets that no other dominates, sorted by their first known cost."""
    on_front = {search.catalogue.archs[row] for row in search.front(search.model(observed))}
    members = [e for e in estimates(search, observed) if e.arch in on_front]
    return sorted(members, key=lambda e: tuple(e.costs.values()))


def pick(
    search: BayesianSearch, observed: Sequence[Observation], limits: Mapping[str, float]
) -> Estimate | None:
    """The smallest estimated error among what keeps `limits`; None where nothing does."""
    inside = [e for e in estimates(search, observed) if all(e.costs[m] <= v for m, v in limits.items())]
    return min(inside, key=lambda e: e.error, default=None)


def repeats(search: BayesianSearch, observed: Sequence[Observation], n: int) -> list[Arch]:
    """Up to `n` members of the front to evaluate again: those whose interval overlaps a neighbour's.

    The widest interval comes first. For evaluators that answer differently each time; an architecture comes
    at most once a call.
    """
    front = estimated_front(search, observed)
    crossing: dict[Arch, float] = {}
    for a, b in itertools.pairwise(front):
        if a.low <= b.high and b.low <= a.high:
            crossing.update({e.arch: np.log(e.high / e.low) for e in (a, b)})
    return sorted(crossing, key=lambda arch: -crossing[arch])[:n]
