"""The strategies that `front_quality.py` compares, all against one counter of evaluations."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna

from hwnas.core.choice import Arch
from hwnas.evaluators import Metrics
from hwnas.front import Problem, make_strategy, run
from hwnas.front.bo import BayesianSearch, Observation, Sought, estimated_front, pick, repeats
from hwnas.front.neighbours import neighbours
from hwnas.front.pareto import non_dominated

from .table import Device

POPULATION = 20
BATCH = 5
_AUTO_TPE = 250
"""Trials after which the automatic sampler of Optuna leaves TPE."""
_REPEATED_ASKS = 40
"""Asks per evaluation after which a strategy that only repeats itself is stopped."""


class Spent(Exception):  # noqa: N818 - no error but the end of every run
    """The evaluations are used up."""


class Evaluations:
    """Counts different networks, adds noise, and knows what a strategy takes for its front.

    rows, errors: of the charged evaluations, in order. believer: a Bayesian search that judges by its model.
    """

    def __init__(self, device: Device, n: int, noise: float, seed: int) -> None:
        self.device, self.n, self.noise = device, n, noise / 100
        self.rows: list[int] = []
        self.errors: list[float] = []
        self.believer: BayesianSearch | None = None
        self._rng, self._asks = np.random.default_rng([seed, 0xE7A1]), 0
        self._known: dict[int, float] = {}

    def __call__(self, arch: Arch, *, again: bool = False) -> float:
        """The observed validation error; a known network is not charged unless it is trained `again`."""
        self._asks += 1
        row = self.device.table.index[self.device.space.canonical(arch)]
        if row not in self._known or again:
            if len(self.rows) == self.n:
                raise Spent
            noisy = self.device.error[row] + self.noise * self._rng.normal()
            self._known[row] = float(np.clip(noisy, 0.0, 1.0))
            self.rows.append(row)
            self.errors.append(self._known[row])
        elif self._asks > _REPEATED_ASKS * self.n:
            raise Spent
        return self._known[row]

    def values(self, arch: Arch) -> list[float]:
        """Observed error and costs, all to be small."""
        row = self.device.table.index[self.device.space.canonical(arch)]
        return [self(arch), *(float(self.device.values[m][row]) for m in self.device.costs)]

    def observations(self, n: int | None = None) -> list[Observation]:
        """The first `n` evaluations as a Bayesian search reads them."""
        archs = list(self.device.table.index)
        pairs = zip(self.rows[:n], self.errors[:n], strict=True)
        return [Observation(archs[row], error) for row, error in pairs]

    def front_after(self, n: int) -> list[int]:
        """Rows that are taken for the front; all evaluated ones where there is no noise."""
        if not self.noise:
            return self.rows[:n]
        if self.believer is not None:
            front = estimated_front(self.believer, self.observations(n))
            return [self.device.table.index[e.arch] for e in front]
        points = self.device.points[self.rows[:n]].copy()
        points[:, -1] = self.errors[:n]
        return [row for row, keep in zip(self.rows[:n], non_dominated(points), strict=True) if keep]

    def regret_after(self, n: int, quantile: float) -> float:
        """Points of test accuracy that the pick within a latency budget lacks; all of them without a pick."""
        limit_ms = self.device.budget_ms(quantile)
        best = self.device.best_test_accuracy(limit_ms)
        latency_ms = self.device.values["latency_ms"]
        inside = [i for i in range(min(n, len(self.rows))) if latency_ms[self.rows[i]] <= limit_ms]
        if not inside:
            return best
        if self.noise and self.believer is not None:
            chosen = pick(self.believer, self.observations(n), {"latency_ms": limit_ms})
            assert chosen is not None
            return best - float(self.device.test_accuracy[self.device.table.index[chosen.arch]])
        return best - float(self.device.test_accuracy[self.rows[min(inside, key=lambda i: self.errors[i])]])


def random_search(evaluations: Evaluations, seed: int) -> None:
    """Different networks at random."""
    archs = list(evaluations.device.table.index)
    for row in np.random.default_rng(seed).permutation(evaluations.device.networks):
        evaluations(archs[row])


def hwnas_nsga2(evaluations: Evaluations, seed: int) -> None:
    """Our NSGA-II."""
    device = evaluations.device
    problem = Problem.parse(["val_accuracy", *device.costs])

    def evaluate(archs: Sequence[Arch]) -> list[Metrics]:
        rows = [evaluations.values(arch) for arch in archs]
        return [{"val_accuracy": 1 - e, **dict(zip(device.costs, c, strict=True))} for e, *c in rows]

    strategy = make_strategy("nsga2", device.space, problem, population=POPULATION, seed=seed)
    run(strategy, evaluate, evaluations.n)


def _optuna(evaluations: Evaluations, *samplers: tuple[int, optuna.samplers.BaseSampler]) -> None:
    """Samplers with the trial from which on each is used."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    choices = evaluations.device.space.choices
    study = optuna.create_study(
        directions=["minimize"] * (1 + len(evaluations.device.costs)), sampler=samplers[0][1]
    )
    for number in itertools.count():
        study.sampler = next(sampler for first, sampler in reversed(samplers) if number >= first)
        trial = study.ask()
        names = [trial.suggest_categorical(c.name, c.options) for c in choices]
        arch = tuple(c.options.index(name) for c, name in zip(choices, names, strict=True))
        study.tell(trial, evaluations.values(arch))


def optuna_nsga2(evaluations: Evaluations, seed: int) -> None:
    """Optuna's NSGA-II on one categorical per edge."""
    _optuna(evaluations, (0, optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed)))


def optuna_tpe(evaluations: Evaluations, seed: int) -> None:
    """Optuna's TPE on one categorical per edge."""
    _optuna(evaluations, (0, optuna.samplers.TPESampler(seed=seed)))


def optuna_auto(evaluations: Evaluations, seed: int) -> None:
    """What Optuna's AutoSampler does with several objectives on categorical choices: TPE, then NSGA-II.

    The file itself comes from OptunaHub over the network.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        tpe = optuna.samplers.TPESampler(seed=seed, multivariate=True)
    _optuna(evaluations, (0, tpe), (_AUTO_TPE, optuna.samplers.NSGAIISampler(seed=seed)))


def pymoo_nsga2(evaluations: Evaluations, seed: int) -> None:
    """pymoo's NSGA-II on integers, which is the form that it has for options."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.operators.crossover.pntx import TwoPointCrossover
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling
    from pymoo.optimize import minimize

    space = evaluations.device.space

    class Problem(ElementwiseProblem):  # type: ignore[misc]  # pymoo has no types
        def __init__(self) -> None:
            super().__init__(
                n_var=len(space.choices),
                n_obj=1 + len(evaluations.device.costs),
                xl=0,
                xu=space.n_options - 1,
                vtype=int,
            )

        def _evaluate(self, x: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            out["F"] = evaluations.values(tuple(int(v) for v in x))

    algorithm = NSGA2(
        pop_size=POPULATION,
        sampling=IntegerRandomSampling(),
        crossover=TwoPointCrossover(),
        mutation=PM(vtype=float, repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    minimize(Problem(), algorithm, ("n_gen", 10 * evaluations.n), seed=seed, verbose=False)


def local_search(evaluations: Evaluations, seed: int) -> None:
    """Pareto local search: all neighbours of a member of the front, then of another."""
    rng, space = np.random.default_rng(seed), evaluations.device.space
    values: dict[Arch, list[float]] = {}
    done: set[Arch] = set()
    for _ in range(5):
        start = space.sample(rng)
        values[start] = evaluations.values(start)
    while True:
        archs = list(values)
        keep = non_dominated(np.array([values[a] for a in archs]))
        left = [a for a, k in zip(archs, keep, strict=True) if k and a not in done]
        around = left[int(rng.integers(len(left)))] if left else space.sample(rng)
        done.add(around)
        near = [space.canonical(a) for a in neighbours(space, around)]
        for arch in [around, *(near[i] for i in rng.permutation(len(near)))]:
            values[arch] = evaluations.values(arch)


def bo(evaluations: Evaluations, seed: int) -> None:
    """Our Bayesian search; with noise the last tenth of the evaluations repeats what cannot be told apart."""
    device, n = evaluations.device, evaluations.n
    task = Sought(known=device.costs, limits={}, worst={})
    search = BayesianSearch(device.space, device.price, task, seed=seed)
    evaluations.believer = search
    kept = n // 10 if evaluations.noise else 0
    while len(evaluations.rows) < n - kept:
        size = min(BATCH, n - kept - len(evaluations.rows))
        for arch, _ in search.propose(evaluations.observations(), size):
            evaluations(arch)
    while len(evaluations.rows) < n:
        size = min(BATCH, n - len(evaluations.rows))
        again = repeats(search, evaluations.observations(), size)
        for arch in again or [a for a, _ in search.propose(evaluations.observations(), size)]:
            evaluations(arch, again=bool(again))


METHODS: dict[str, Callable[[Evaluations, int], None]] = {
    "random": random_search,
    "nsga2": hwnas_nsga2,
    "optuna-nsga2": optuna_nsga2,
    "optuna-tpe": optuna_tpe,
    "optuna-auto": optuna_auto,
    "pymoo-nsga2": pymoo_nsga2,
    "local-search": local_search,
    "bo": bo,
}
