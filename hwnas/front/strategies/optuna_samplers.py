"""Samplers of Optuna: TPE [1] and its Gaussian process.

Each generation gets a fresh sampler over a study in memory that holds all trials of the run, those that are
pending included. What a sampler proposes twice is mutated until it is new.

[1] J. Bergstra, R. Bardenet, Y. Bengio, B. Kégl. Algorithms for Hyper-Parameter Optimization. NeurIPS 2011;
    for several objectives Y. Ozaki et al., Multiobjective Tree-Structured Parzen Estimator, JAIR 73, 2022.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import TrialState, create_trial

from hwnas.front.history import History, Trial
from hwnas.front.novelty import Novelty
from hwnas.front.optuna_trials import Codec, directions, quiet
from hwnas.front.strategy import OneOrMore, Propose, StrategyContext, add_strategy

if TYPE_CHECKING:
    from hwnas.core.choice import Arch


class Sampled:
    """Proposes what a sampler does. make: a fresh one for a seed."""

    def __init__(self, context: StrategyContext, make: Callable[[int], BaseSampler]) -> None:
        self._context, self._make, self._codec = context, make, Codec(context.space)

    def __call__(self, history: History, n: int, novelty: Novelty) -> list[tuple[Arch, str]]:
        """`n` of the sampler's, or near them where those are known."""
        space, codec = self._context.space, self._codec
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = self._make(self._context.sampler_seed(history.generations))
            study = optuna.create_study(directions=directions(self._context.problem), sampler=sampler)
            study.add_trials(codec.trial(trial, 0, far) for trial, far in self._with_outside(history))
            study.add_trials([self._running(arch) for arch in history.pending])
            drawn = [codec.arch(study.ask(codec.distributions).params) for _ in range(n)]
        new: list[tuple[Arch, str]] = []
        rng = self._context.rng(history.generations)
        for arch in (space.repaired(a, rng) for a in drawn):
            if (entry := novelty.claim_or_mutate(arch, "sampled")) is not None:
                new.append(entry)
        return new + novelty.at_random(n - len(new))

    def _with_outside(self, history: History) -> list[tuple[Trial, float | None]]:
        """The trials, and how far each is from what is preferred; None where nothing is."""
        problem = self._context.problem
        if problem.prefer is None:
            return [(trial, None) for trial in history.trials]
        far = iter(problem.outside([v for _, v in history.evaluated]).tolist())
        return [(trial, None if trial.values is None else next(far)) for trial in history.trials]

    def _running(self, arch: Arch) -> optuna.trial.FrozenTrial:
        return create_trial(
            state=TrialState.RUNNING,
            params=self._codec.params(arch),
            distributions=self._codec.distributions,
        )


@add_strategy(
    "tpe",
    title="Optuna's tree-structured Parzen estimator",
    paper="Ozaki et al. 2022, Multiobjective Tree-Structured Parzen Estimator, JAIR 73",
    first="n_start",
)
def tpe(context: StrategyContext, *, n_start: OneOrMore = 10) -> Propose:
    """n_start: random evaluations before the estimator chooses."""

    def make(seed: int) -> BaseSampler:
        return optuna.samplers.TPESampler(n_startup_trials=n_start, seed=seed, constant_liar=True)

    return Sampled(context, make)


@add_strategy(
    "gp",
    title="Optuna's Gaussian process on the choices, which predicts costs too",
    paper="none; it is `GPSampler` of Optuna",
    first="n_start",
)
def gp(context: StrategyContext, *, n_start: OneOrMore = 10) -> Propose:
    """It takes seconds per architecture. n_start: random evaluations before the process chooses."""
    return Sampled(context, lambda seed: optuna.samplers.GPSampler(n_startup_trials=n_start, seed=seed))
