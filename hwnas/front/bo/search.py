"""Which architectures to evaluate next, as a function of the seed and of what was evaluated.

One objective is predicted (an error, smaller is better); all others are known exactly before an evaluation.
The surrogate is a Gaussian process on the logarithm of the error; the next architecture is the one with the
largest expected hypervolume improvement among the neighbours of the front and some others. The first ones
are the largest networks at evenly spread costs.

No state but memos: the same seed and the same observations give the same proposals, in any process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .catalogue import Catalogue, Costs, Rows
from .gp import Array, Belief, Hyperparameters, Posterior, fit
from .improvement import Improvement
from .neighbours import neighbours, random_neighbour

if TYPE_CHECKING:
    from hwnas.core.mix import Arch
    from hwnas.core.space import Space

SEED, START, MODEL, RANDOM = "seed", "start", "model", "random"
"""Where a proposal comes from."""

_SMALLEST_ERROR = 1e-4
_FEWEST_ROWS = 3
_MOST_ROWS = 800
_MOST_ROWS_FIT = 300
_ENUMERABLE = 50_000
_TINY = 3_000
_SAMPLE = 2_000


@dataclass(frozen=True, slots=True)
class Observation:
    """One evaluation. error: above 0, smaller is better; None where the evaluation failed."""

    arch: Arch
    error: float | None


@dataclass(frozen=True, slots=True)
class Pool:
    """How many candidates are looked at.

    near: at most so many neighbours of the front. two_steps, random: beside them.
    """

    near: int = 3_000
    two_steps: int = 200
    random: int = 300


@dataclass(frozen=True, slots=True)
class Task:
    """What is sought.

    known: the metrics beside the error that are objectives. limits: budgets, on any metric that is priced.
    worst: per known metric without a budget the largest value that counts for the hypervolume; a metric that
    is absent here gets the largest value of a random sample of the space.
    """

    known: tuple[str, ...]
    limits: Mapping[str, float]
    worst: Mapping[str, float]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric that is priced, the known objectives first."""
        return tuple(dict.fromkeys([*self.known, *self.limits]))


class BayesianSearch:
    """See the module's docstring. `propose` answers with architectures in canonical form.

    n_start: how many are spread over the costs before the surrogate takes over. seeds come before them.
    size: metrics of which the largest sum marks the largest network of a bin; those the costs lack are ignored
    """

    def __init__(
        self,
        space: Space,
        price: Costs,
        task: Task,
        *,
        seed: int,
        seeds: Sequence[Arch] = (),
        n_start: int = 10,
        pool: Pool | None = None,
        extra: Sequence[str] = (),
    ) -> None:
        self._space, self._task, self._seed, self._n_start = space, task, seed, n_start
        self._pool = pool or Pool()
        metrics = tuple(dict.fromkeys([*task.metrics, *extra]))
        self._catalogue = Catalogue(space, price, metrics)
        self._budgets = np.array([task.limits.get(m, np.inf) for m in metrics])
        self._n_known = len(task.known)
        self._seeds = list(dict.fromkeys(space.canonical(a) for a in seeds))
        self._fits: dict[int, tuple[tuple[int, ...], tuple[float, ...], Hyperparameters]] = {}

    # -- the sample that everything is scaled by ------------------------------------------------------

    @cached_property
    def _sample(self) -> Rows:
        """Rows of a random sample, or of the whole space where that is not larger. They come first."""
        if self._space.size <= _TINY:
            return np.unique(self._catalogue.rows(self._space.enumerate()))
        rng = self._rng(0)
        return np.unique(self._catalogue.rows(self._space.sample(rng) for _ in range(_SAMPLE)))

    def _rng(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=stream))

    def _usable(self, rows: Rows, taken: set[int]) -> Rows:
        """Rows inside all budgets that are not taken and of which there is something to train."""
        rows = rows[(self._catalogue.costs[rows] <= self._budgets).all(axis=1)]
        archs, space = self._catalogue.archs, self._space
        return np.array([r for r in rows if r not in taken and space.reads_image(archs[r])], dtype=np.int64)

    @cached_property
    def _inside(self) -> Rows:
        """The sample inside the budgets; where that is little, what a walk towards the budgets meets."""
        catalogue = self._catalogue
        inside = self._usable(self._sample, set())
        reached = self._sample
        for _ in range(40):
            if len(inside) >= 20 * self._n_start or not len(reached):
                break
            over = np.maximum(catalogue.costs[reached] / self._budgets - 1, 0).sum(axis=1)
            closest = reached[np.argsort(over, kind="stable")[:20]]
            near = np.unique(np.concatenate([catalogue.near(int(r)) for r in closest]))
            if np.isin(near, reached).all():
                break
            reached = np.union1d(closest, near)
            inside = np.union1d(inside, self._usable(near, set()))
        return inside

    def start(self, n: int) -> list[Arch]:
        """Up to `n` architectures: sorted by the first known cost into `n` bins, in each the largest.

        The order goes through the bins coarse to fine, so that any first part is spread.
        """
        costs, rows = self._catalogue.costs, self._inside
        if not len(rows):
            return []
        order = rows[np.argsort(costs[rows, 0], kind="stable")] if costs.shape[1] else rows
        size = self._size(order)
        bins = [b for b in np.array_split(np.arange(len(order)), n) if len(b)]
        picked = [order[b[int(np.argmax(size[b]))]] for b in bins]
        return [self._catalogue.archs[picked[i]] for i in coarse_to_fine(len(picked))]

    def _size(self, rows: Rows) -> Array:
        """Log parameters + log MACs where they are known, else the sum of all log costs."""
        names = [i for i, m in enumerate(self._catalogue.metrics) if m in ("params", "macs")]
        columns = names or list(range(len(self._catalogue.metrics)))
        total: Array = np.log(np.maximum(self._catalogue.costs[rows][:, columns], 1e-12)).sum(axis=1)
        return total

    # -- proposals -------------------------------------------------------------------------------------

    def propose(
        self, observed: Sequence[Observation], n: int, *, pending: Sequence[Arch] = ()
    ) -> list[tuple[Arch, str]]:
        """Up to `n` architectures to evaluate next, each with its origin; none is observed or pending.

        pending: asked and not answered yet; they are taken to turn out as predicted. Fewer than `n` come only
        where the space holds no more inside the budgets, or is too large to list and none were met.
        """
        _ = self._sample
        catalogue = self._catalogue
        observed_rows = catalogue.rows(o.arch for o in observed)
        pending_rows = catalogue.rows(pending)
        taken = {int(r) for r in observed_rows} | {int(r) for r in pending_rows}
        chosen: list[tuple[Arch, str]] = []

        def take(rows: Rows, origin: str, most: int) -> None:
            for row in self._usable(rows, taken)[:most]:
                if row not in taken:
                    taken.add(int(row))
                    chosen.append((catalogue.archs[row], origin))

        take(catalogue.rows(self._seeds), SEED, n)
        started = len(observed) + len(pending) + len(chosen)
        n_start = max(self._n_start, n if not observed else 0)
        if started < n_start:
            take(catalogue.rows(self.start(n_start)), START, min(n_start - started, n - len(chosen)))
        targets = [(r, o.error) for r, o in zip(observed_rows, observed, strict=True) if o.error is not None]
        if len(chosen) < n and len({r for r, _ in targets}) >= _FEWEST_ROWS:
            unanswered = [*pending_rows, *catalogue.rows(a for a, _ in chosen)]
            for row in self._by_model(targets, unanswered, taken, n - len(chosen), len(observed)):
                take(np.array([row]), MODEL, 1)
        if len(chosen) < n:
            take(self._anything(taken, n - len(chosen), len(observed)), RANDOM, n - len(chosen))
        return chosen

    def _by_model(
        self,
        targets: Sequence[tuple[int, float]],
        unanswered: Sequence[int],
        taken: set[int],
        n: int,
        n_observed: int,
    ) -> list[int]:
        model = self.model(targets)
        front = self._front_rows(model)
        candidates = self._candidates(front, taken, n_observed)
        if not len(candidates):
            return []
        costs = self._catalogue.costs[:, : self._n_known]
        rows = np.array([*unanswered, *candidates], dtype=np.int64)
        belief = model.posterior.at(self._catalogue.inputs(rows))
        improvement = self._improvement(model, costs[candidates])
        for i in range(len(unanswered)):
            improvement.add(costs[rows[i]], float(np.exp(belief.mean[i])))
            belief.believe(i)
        return [int(rows[i]) for i in self._greedy(improvement, belief, costs[rows], len(unanswered), n)]

    def _greedy(
        self, improvement: Improvement, belief: Belief, costs: Array, first: int, n: int
    ) -> list[int]:
        """Indices from `first` on, each with the largest EHVI given those before it."""
        left = np.arange(first, len(costs))
        picked: list[int] = []
        while len(picked) < n and len(left):
            values = improvement.of(costs[left], belief.mean[left], belief.deviation[left])
            best = int(np.argmax(values))
            picked.append(int(left[best]))
            if len(picked) < n:
                improvement.add(costs[picked[-1]], float(np.exp(belief.mean[picked[-1]])))
                belief.believe(picked[-1])
                left = np.delete(left, best)
        return picked

    def _improvement(self, model: Model, candidates: Array) -> Improvement:
        costs = self._catalogue.costs[:, : self._n_known]
        limits = self._limits(costs[model.rows])
        low = np.minimum(candidates.min(axis=0, initial=np.inf), costs[model.rows].min(axis=0))
        inside = (self._catalogue.costs[model.rows] <= self._budgets).all(axis=1)
        return Improvement(
            costs[model.rows][inside], np.exp(model.mean[inside]), np.minimum(low, limits), limits, model.worst
        )

    def _limits(self, observed: Array) -> Array:
        """Where the hypervolume ends, per known cost."""
        largest = self._catalogue.costs[self._sample, : self._n_known].max(axis=0, initial=0.0)
        largest = np.maximum(largest, observed.max(axis=0, initial=0.0))
        task = self._task
        return np.array(
            [task.limits.get(m, task.worst.get(m, float(v))) for m, v in zip(task.known, largest, strict=True)]
        )

    def _front_rows(self, model: Model) -> list[int]:
        costs = self._catalogue.costs
        inside = np.flatnonzero((costs[model.rows] <= self._budgets).all(axis=1))
        points = np.column_stack([costs[model.rows[inside], : self._n_known], model.mean[inside]])
        from .improvement import _undominated

        return [int(r) for r in model.rows[inside[_undominated(points)]]]

    def _candidates(self, front: Sequence[int], taken: set[int], n_observed: int) -> Rows:
        catalogue, pool, rng = self._catalogue, self._pool, self._rng(1, n_observed)
        if self._space.size <= _TINY:
            return self._usable(self._sample, taken)
        near = [catalogue.near(row) for row in front]
        close = np.unique(np.concatenate(near)) if near else np.zeros(0, dtype=np.int64)
        if len(close) > pool.near:
            close = np.sort(rng.choice(close, pool.near, replace=False))
        archs = catalogue.archs
        starts = rng.choice(front, pool.two_steps) if len(front) else []
        steps = [
            random_neighbour(self._space, random_neighbour(self._space, archs[r], rng), rng) for r in starts
        ]
        fresh = self._rng(2, n_observed // 10)
        draws = [self._space.sample(fresh) for _ in range(pool.random)]
        others = catalogue.rows([*steps, *draws])
        return self._usable(np.union1d(close, others), taken)

    def _anything(self, taken: set[int], n: int, n_observed: int) -> Rows:
        """At random, inside the budgets: of the sample, or of the whole space where that can be listed."""
        rng = self._rng(3, n_observed)
        rows = self._usable(self._inside, taken)
        if len(rows) < n and self._space.size <= _ENUMERABLE:
            rows = self._usable(np.unique(self._catalogue.rows(self._space.enumerate())), taken)
        return rng.permutation(rows)

    # -- the surrogate ---------------------------------------------------------------------------------

    def model(self, targets: Sequence[tuple[int, float]]) -> Model:
        """The posterior given (row, error) pairs; a row that was observed more than once counts its mean."""
        logs: dict[int, list[float]] = {}
        for row, error in targets:
            logs.setdefault(int(row), []).append(float(np.log(max(error, _SMALLEST_ERROR))))
        at = self._hyperparameters(tuple(logs), tuple(float(np.mean(v)) for v in logs.values()))
        rows = np.array(list(logs), dtype=np.int64)
        means = np.array([np.mean(v) for v in logs.values()])
        counts = np.array([float(len(v)) for v in logs.values()])
        posterior = Posterior(at, self._catalogue.inputs(rows), means, counts)
        return Model(rows, posterior, posterior.at(self._catalogue.inputs(rows)).mean, float(np.exp(means.max())))

    def _hyperparameters(self, rows: tuple[int, ...], logs: tuple[float, ...]) -> Hyperparameters:
        """Fitted to the first 5, 10, 15, … rows, each time from the last values: they follow from the rows."""
        sizes = refits(len(rows))
        at: Hyperparameters | None = None
        for size in sizes:
            known = self._fits.get(size)
            if known is None or known[:2] != (rows[:size], logs[:size]):
                thin = np.unique(np.linspace(0, size - 1, min(size, _MOST_ROWS_FIT)).round().astype(np.int64))
                values = np.array(logs[:size])[thin]
                scaled = (values - values.mean()) / (values.std() or 1.0)
                inputs = self._catalogue.inputs(np.array(rows[:size])[thin])
                known = (rows[:size], logs[:size], fit(inputs, scaled, self._rng(4, size), at))
                self._fits[size] = known
            at = known[2]
        assert at is not None
        return at


@dataclass(frozen=True, slots=True)
class Model:
    """The posterior, the observed rows it rests on with their posterior means, and the worst error."""

    rows: Rows
    posterior: Posterior
    mean: Array
    worst: float


def refits(n: int) -> list[int]:
    """At how many rows the hyperparameters are fitted again, up to `n`."""
    sizes = [min(n, 5)]
    while (following := sizes[-1] + max(5, sizes[-1] // 5)) <= n:
        sizes.append(following)
    return sizes


def coarse_to_fine(n: int) -> list[int]:
    """0 … n-1 so that every first part is spread: the ends, the middle, the quarters, …"""
    order = [0, n - 1][: max(n, 0)] if n > 1 else list(range(n))
    while len(order) < n:
        placed = sorted(order)
        gaps = [(b - a, a) for a, b in zip(placed, placed[1:], strict=False) if b - a > 1]
        width, left = max(gaps, key=lambda gap: (gap[0], -gap[1]))
        order.append(left + width // 2)
    return order
