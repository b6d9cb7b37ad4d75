"""Which architectures to evaluate next, as a function of the seed and of what was evaluated.

One objective is predicted (an error); all others are known exactly before an evaluation. The next
architecture is the one with the largest expected hypervolume improvement among the neighbours of the front
and some others; the volume is over the logarithms of the costs, as picks are spread by them. The first ones
are the largest networks at evenly spread costs, beside the seeds.

The same seed and the same observations give the same proposals in any process; whatever else is kept only
saves time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np

from hwnas.core.arrays import Array
from hwnas.front.strategy import Forecast

from .candidates import Candidates, PoolSize
from .catalogue import Catalogue, Rows
from .extras import Extras
from .gp import Belief
from .improvement import Improvement, undominated
from .surrogate import Model, Surrogate
from .task import Observation, Sought

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

    from hwnas.core.choice import Arch
    from hwnas.core.space import Space
    from hwnas.front.strategy import CostsOf, FeaturesOf

SEED, START, MODEL, RANDOM = "seed", "start", "model", "random"
"""Where a proposal comes from."""

_SHORTLIST = 500
"""Candidates that are looked at again for the others of a batch."""
_DEAR = 64
"""Candidates of which the extra features are asked, as they may take a network each."""
_FEWEST_ROWS = 3
"""Different architectures that a surrogate needs."""


class BayesianSearch:
    """Proposes architectures in canonical form.

    costs_of: the known costs. task: what is sought.
    seeds: architectures that come first, where they keep the budgets.
    n_start: how many, seeds included, are evaluated before the surrogate chooses.
    features_of: more columns for the surrogate, such as shared-weight accuracies and zero-cost proxies. They
        are asked of what was observed and of the best candidates only.
    n_images: that an error is a share of, which says how far chance moves it at least; None: not at all.
    """

    def __init__(
        self,
        space: Space,
        costs_of: CostsOf,
        task: Sought,
        *,
        seed: int,
        seeds: Sequence[Arch] = (),
        n_start: int = 5,
        pool: PoolSize | None = None,
        features_of: FeaturesOf | None = None,
        n_images: int | None = None,
    ) -> None:
        self._task, self._seed, self._n_start = task, seed, n_start
        self._seeds = list(seeds)
        self.catalogue = Catalogue(space, costs_of, task)
        self._candidates = Candidates(self.catalogue, pool or PoolSize(), self._rng)
        self._surrogate = Surrogate(self.catalogue, self.catalogue.inputs, self._fit_rng, n_images)
        self._informed: Surrogate | None = None
        if features_of is not None:
            extras = Extras(self.catalogue, features_of, lambda: self._candidates.sample)
            self._informed = Surrogate(self.catalogue, extras.inputs, self._fit_rng, n_images)

    def _rng(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=stream))

    def _fit_rng(self, n_rows: int) -> np.random.Generator:
        return self._rng(4, n_rows)

    def propose(
        self, observed: Sequence[Observation], n: int, *, pending: Sequence[Arch] = ()
    ) -> list[tuple[Arch, str]]:
        """Up to `n` architectures to evaluate next, with their origins. None is observed or pending.

        pending: architectures that were asked and not answered yet; they count with the error that is
            predicted. Fewer than `n` come where the space holds no more inside the budgets, or is too large
            to list and no more were met.
        """
        with one_thread():
            return self._propose(observed, n, pending)

    def _propose(
        self, observed: Sequence[Observation], n: int, pending: Sequence[Arch]
    ) -> list[tuple[Arch, str]]:
        rows = self._rows(observed)
        waiting = self.catalogue.rows(pending)
        chosen = _Chosen(self._candidates, {*rows.tolist(), *waiting.tolist()}, n)
        chosen.take(self.catalogue.rows(self._seeds), SEED)
        n_start = max(self._n_start, 0 if observed else n)
        if (missing := n_start - len(observed) - len(pending) - len(chosen.rows)) > 0:
            beside = np.array([*rows, *waiting, *chosen.rows], dtype=np.int64)
            chosen.take(self._candidates.start(n_start, beside), START, missing)
        answered = [o for o in observed if o.error is not None]
        if not chosen.full and self._enough(answered):
            unanswered = np.array([*waiting, *chosen.rows], dtype=np.int64)
            chosen.take(self._by_model(answered, unanswered, chosen, len(observed)), MODEL)
        if not chosen.full:
            chosen.take(self._candidates.anything(chosen.taken, len(observed)), RANDOM)
        return [(self.catalogue.archs[row], origin) for row, origin in chosen.rows.items()]

    def forecast(self, observed: Sequence[Observation], archs: Sequence[Arch]) -> list[Forecast] | None:
        """What is expected of architectures; None as long as too few different ones were evaluated."""
        answered = [o for o in observed if o.error is not None]
        if not self._enough(answered):
            return None
        with one_thread():
            model = self._model(answered)
            belief = model.at(self.catalogue.rows(archs))
            return [
                Forecast(mean, deviation, observed_deviation)
                for mean, deviation, observed_deviation in zip(
                    belief.mean.tolist(),
                    belief.deviation.tolist(),
                    belief.observed_deviation.tolist(),
                    strict=True,
                )
            ]

    def _enough(self, answered: Sequence[Observation]) -> bool:
        return len(set(self._rows(answered).tolist())) >= _FEWEST_ROWS

    def model(self, observed: Sequence[Observation]) -> Model:
        """What the surrogate makes of the observations that did not fail; at least one of them."""
        with one_thread():
            return self._model(observed)

    def _model(self, observed: Sequence[Observation], surrogate: Surrogate | None = None) -> Model:
        """By the surrogate with all features, unless another is given."""
        answered = [(o.arch, o.error) for o in observed if o.error is not None]
        _ = self._candidates.sample
        rows = self.catalogue.rows(arch for arch, _ in answered)
        surrogate = surrogate or self._informed or self._surrogate
        return surrogate.model(rows.tolist(), [error for _, error in answered])

    def front(self, model: Model) -> list[int]:
        """Observed rows inside the budgets that no other dominates by posterior means."""
        inside = np.flatnonzero(self.catalogue.within(model.rows))
        judged = model.mean[inside] + self.catalogue.penalties(model.rows[inside])
        points = np.column_stack([self.catalogue.known(model.rows[inside]), judged])
        return [int(row) for row in model.rows[inside[undominated(points)]]]

    def _rows(self, observed: Sequence[Observation]) -> Rows:
        _ = self._candidates.sample  # the first rows of the catalogue, which set the scales
        return self.catalogue.rows(o.arch for o in observed)

    def _by_model(
        self, answered: Sequence[Observation], unanswered: Rows, chosen: _Chosen, n_observed: int
    ) -> Rows:
        """The candidates of largest EHVI, each given that those before it turn out as predicted."""
        model = self._model(answered)
        front = self.front(model) or [int(model.rows[int(np.argmin(model.mean))])]
        candidates = self._candidates.around(front, chosen.taken, n_observed)
        if self._informed is not None and len(candidates) > _DEAR:
            structural = self._model(answered, self._surrogate)
            rows, value_of = self._valued(structural, unanswered, candidates)
            first = len(unanswered)
            candidates = rows[first + np.argsort(-value_of.values(first), kind="stable")[:_DEAR]]
        rows, value_of = self._valued(model, unanswered, candidates)
        return rows[value_of.greedy(len(unanswered), chosen.missing)]

    def _valued(self, model: Model, unanswered: Rows, candidates: Rows) -> tuple[Rows, CandidateValues]:
        """Unanswered rows and candidates, and what they are worth where the first turn out as predicted."""
        rows = np.concatenate([unanswered, candidates])
        costs = self._axes(self.catalogue.known(rows))
        added = self.catalogue.penalties(rows)
        value_of = CandidateValues(self._improvement(model, rows), model.at(rows), costs, added)
        for i in range(len(unanswered)):
            value_of.believe(i)
        return rows, value_of

    @cached_property
    def _least(self) -> Array:
        """Per known cost the smallest of the sample that is above 0: (m,)."""
        costs = self.catalogue.known(self._candidates.sample)
        least: Array = np.where(costs > 0, costs, np.inf).min(axis=0, initial=np.inf)
        return np.where(np.isfinite(least), least, 1.0)

    def _axes(self, costs: Array) -> Array:
        """Costs by their logarithm, as half of a small cost is worth as much as half of a large one."""
        return np.log(np.maximum(costs, self._least / 2))

    def _improvement(self, model: Model, candidates: Rows) -> Improvement:
        """The hypervolume of what was observed, in a box that holds the candidates."""
        inside = self.catalogue.within(model.rows)
        met = self.catalogue.known(np.concatenate([self._candidates.sample, model.rows, candidates]))
        limits = self._axes(self._task.ends(met.max(axis=0, initial=0.0)))
        met, costs = self._axes(met), self._axes(self.catalogue.known(model.rows))
        low = np.minimum(met.min(axis=0, initial=np.inf), limits)
        errors = np.exp(model.mean[inside] + self.catalogue.penalties(model.rows[inside]))
        best = float(errors.min(initial=model.worst))
        return Improvement(
            costs=costs[inside],
            errors=errors,
            low=low,
            limits=limits if self._task.costs == 1 else low + self._task.costs * (limits - low),
            worst=model.worst if self._task.errors == 1 else best * (model.worst / best) ** self._task.errors,
        )


class CandidateValues:
    """What candidates are worth: their EHVI, given that some of them turn out as predicted.

    improvement: over what was observed. belief, costs (rows, m): of the candidates, on its axes.
    added (rows,): to their log errors, by soft budgets.
    """

    def __init__(self, improvement: Improvement, belief: Belief, costs: Array, added: Array) -> None:
        self._improvement, self._belief, self._costs, self._added = improvement, belief, costs, added

    def believe(self, row: int) -> None:
        """Take a candidate for observed with its mean."""
        judged = self._belief.mean[row] + self._added[row]
        self._improvement.add(self._costs[row], float(np.exp(judged)))
        self._belief.believe(row)

    def values(self, first: int) -> Array:
        """The EHVI of all candidates from `first` on."""
        return self._of(np.arange(first, len(self._costs)))

    def _of(self, rows: Rows) -> Array:
        belief = self._belief
        judged = belief.mean[rows] + self._added[rows]
        return self._improvement.of(self._costs[rows], judged, belief.deviation[rows])

    def greedy(self, first: int, n: int) -> Rows:
        """Up to `n` indices from `first` on, by the kriging believer.

        Each has the largest EHVI once those before it are taken for observed. That lowers the EHVI of others,
        so that after the first only the `_SHORTLIST` best are looked at again.
        """
        left = np.arange(first, len(self._costs))
        picked: list[int] = []
        while len(picked) < n and len(left):
            values = self._of(left)
            picked.append(int(left[int(np.argmax(values))]))
            left = left[np.argsort(-values, kind="stable")[1 : _SHORTLIST + 1]]
            if len(picked) < n:
                self.believe(picked[-1])
        return np.array(picked, dtype=np.int64)


@contextmanager
def one_thread() -> Iterator[None]:
    """Linear algebra on one thread: faster where matrices are small, and the same for any number of cores."""
    with _blas().limit(limits=1, user_api="blas"):
        yield


@cache
def _blas() -> ThreadpoolController:
    """The libraries of linear algebra, all loaded by now: to look for them takes longer than a fit."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


class _Chosen:
    """The proposals so far, up to `n`. rows: with their origins. taken: also what was chosen before."""

    def __init__(self, candidates: Candidates, taken: set[int], n: int) -> None:
        self._candidates, self._n = candidates, n
        self.taken, self.rows = taken, dict[int, str]()

    @property
    def missing(self) -> int:
        """How many more there can be."""
        return self._n - len(self.rows)

    @property
    def full(self) -> bool:
        """Whether there are as many as asked."""
        return self.missing == 0

    def take(self, rows: Rows, origin: str, most: int | None = None) -> None:
        """Add usable rows, in order and each once, but no more than `most`."""
        usable = dict.fromkeys(self._candidates.usable(rows, self.taken).tolist())
        n = self.missing if most is None else min(most, self.missing)
        for row in list(usable)[:n]:
            self.rows[row] = origin
            self.taken.add(row)
