"""Which architectures to evaluate next, as a function of the seed and of what was evaluated.

One objective is predicted (an error); all others are known exactly before an evaluation. The next
architecture is the one with the largest expected hypervolume improvement among the neighbours of the front
and some others. The first ones are the largest networks at evenly spread costs.

The same seed and the same observations give the same proposals in any process; whatever else is kept only
saves time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from hwnas.core.arrays import Array

from .candidates import Candidates, PoolSize
from .catalogue import Catalogue, Rows
from .gp import Belief
from .improvement import Improvement, undominated
from .surrogate import Model, Surrogate
from .task import Observation, Task

if TYPE_CHECKING:
    from hwnas.core.choice import Arch
    from hwnas.core.space import Space
    from hwnas.front.strategy import CostsOf

SEED, START, MODEL, RANDOM = "seed", "start", "model", "random"
"""Where a proposal comes from."""

_SHORTLIST = 500
"""Candidates that are looked at again for the others of a batch."""
_FEWEST_ROWS = 3
"""Different architectures that a surrogate needs."""


class BayesianSearch:
    """Proposes architectures in canonical form.

    costs_of: the known costs. task: what is sought.
    seeds: architectures that come first, where they keep the budgets.
    n_start: how many, seeds included, are evaluated before the surrogate chooses.
    """

    def __init__(
        self,
        space: Space,
        costs_of: CostsOf,
        task: Task,
        *,
        seed: int,
        seeds: Sequence[Arch] = (),
        n_start: int = 5,
        pool: PoolSize | None = None,
    ) -> None:
        self._task, self._seed, self._n_start = task, seed, n_start
        self._seeds = list(seeds)
        self.catalogue = Catalogue(space, costs_of, task)
        self._candidates = Candidates(self.catalogue, pool or PoolSize(), self._rng)
        self._surrogate = Surrogate(self.catalogue, lambda n_rows: self._rng(4, n_rows))

    def _rng(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=stream))

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
            chosen.take(self._candidates.start(n_start), START, missing)
        answered = [o for o in observed if o.error is not None]
        if not chosen.full and len(set(self._rows(answered).tolist())) >= _FEWEST_ROWS:
            unanswered = np.array([*waiting, *chosen.rows], dtype=np.int64)
            model = self._model(answered)
            chosen.take(self._by_model(model, unanswered, chosen, len(observed)), MODEL)
        if not chosen.full:
            chosen.take(self._candidates.anything(chosen.taken, len(observed)), RANDOM)
        return [(self.catalogue.archs[row], origin) for row, origin in chosen.rows.items()]

    def model(self, observed: Sequence[Observation]) -> Model:
        """What the surrogate makes of the observations that did not fail; at least one of them."""
        with one_thread():
            return self._model(observed)

    def _model(self, observed: Sequence[Observation]) -> Model:
        answered = [(o.arch, o.error) for o in observed if o.error is not None]
        _ = self._candidates.sample
        rows = self.catalogue.rows(arch for arch, _ in answered)
        return self._surrogate.model(rows.tolist(), [error for _, error in answered])

    def front(self, model: Model) -> list[int]:
        """Observed rows inside the budgets that no other dominates by posterior means."""
        inside = np.flatnonzero(self.catalogue.within(model.rows))
        points = np.column_stack([self.catalogue.known(model.rows[inside]), model.mean[inside]])
        return [int(row) for row in model.rows[inside[undominated(points)]]]

    def _rows(self, observed: Sequence[Observation]) -> Rows:
        _ = self._candidates.sample  # the first rows of the catalogue, which set the scales
        return self.catalogue.rows(o.arch for o in observed)

    def _by_model(self, model: Model, unanswered: Rows, chosen: _Chosen, n_observed: int) -> Rows:
        """The candidates of largest EHVI, each given that those before it turn out as predicted."""
        front = self.front(model) or [int(model.rows[int(np.argmin(model.mean))])]
        candidates = self._candidates.around(front, chosen.taken, n_observed)
        rows = np.concatenate([unanswered, candidates])
        costs = self.catalogue.known(rows)
        belief = model.posterior.at(self.catalogue.inputs(rows))
        improvement = self._improvement(model, costs)
        for i in range(len(unanswered)):
            improvement.add(costs[i], float(np.exp(belief.mean[i])))
            belief.believe(i)
        return rows[greedy(improvement, belief, costs, len(unanswered), chosen.missing)]

    def _improvement(self, model: Model, candidates: Array) -> Improvement:
        """The hypervolume of what was observed, in a box that holds the candidates."""
        inside = self.catalogue.within(model.rows)
        costs = self.catalogue.known(model.rows)
        met = np.concatenate([self.catalogue.known(self._candidates.sample), costs, candidates])
        limits = self._task.ends(met.max(axis=0, initial=0.0))
        return Improvement(
            costs=costs[inside],
            errors=np.exp(model.mean[inside]),
            low=np.minimum(met.min(axis=0, initial=np.inf), limits),
            limits=limits,
            worst=model.worst,
        )


def greedy(improvement: Improvement, belief: Belief, costs: Array, first: int, n: int) -> Rows:
    """Up to `n` indices from `first` on, by the kriging believer: (rows, m) costs.

    Each has the largest EHVI once those before it are taken for observed with their means. That lowers the
    EHVI of others, so that after the first only the `_SHORTLIST` best are looked at again.
    """
    left = np.arange(first, len(costs))
    picked: list[int] = []
    while len(picked) < n and len(left):
        values = improvement.of(costs[left], belief.mean[left], belief.deviation[left])
        best = int(np.argmax(values))
        picked.append(int(left[best]))
        left = left[np.argsort(-values, kind="stable")[1 : _SHORTLIST + 1]]
        if len(picked) < n:
            improvement.add(costs[picked[-1]], float(np.exp(belief.mean[picked[-1]])))
            belief.believe(picked[-1])
    return np.array(picked, dtype=np.int64)


@contextmanager
def one_thread() -> Iterator[None]:
    """Linear algebra on one thread: faster where matrices are small, and the same for any number of cores."""
    import threadpoolctl

    with threadpoolctl.threadpool_limits(1, "blas"):
        yield


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
