"""NSGA-II [1], bred by Optuna's sampler from the trials of the run.

Each generation gets a fresh sampler over a study in memory that holds exactly the trials that can be
parents: first the survivors and the last generation, to select from, then the selected, to breed
from. Optuna breeds from a finished trial only if it carries the sampler's generation attribute
(`optuna_trials.GENERATION`). So the seeds become parents too: they are trials of generation 0.

[1] K. Deb, A. Pratap, S. Agarwal, T. Meyarivan. A fast and elitist multiobjective genetic
    algorithm: NSGA-II. IEEE Transactions on Evolutionary Computation 6(2), 2002.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import optuna
from optuna.samplers import NSGAIISampler
from optuna.trial import TrialState, create_trial

from hwnas.front.history import History, Trial
from hwnas.front.novelty import Novelty
from hwnas.front.optuna_trials import GENERATION, Codec, directions, quiet
from hwnas.front.strategy import Propose, StrategyContext, add_strategy
from targets.errors import UsageError

if TYPE_CHECKING:
    from hwnas.core.choice import Arch

_PARENTS, _CHILDREN = 0, 1  # generations within a study in memory; trials carry those of the run


class Breeding:
    """Proposes the children of the survivors; the first generation is random."""

    def __init__(self, context: StrategyContext) -> None:
        self._context, self._codec = context, Codec(context.space)
        self._survivors: list[Trial] = []
        self._selected = 0  # how many generations the survivors were selected from

    def __call__(self, history: History, n: int, novelty: Novelty) -> list[tuple[Arch, str]]:
        """`n` children, each new: a bred duplicate is mutated until it is; fewer when none is left."""
        with quiet():
            while self._selected < history.generations:
                self._survivors = self._select(self._survivors + history.of_generation(self._selected))
                self._selected += 1
            bred = self._breed(n, self._context.sampler_seed(history.generations))
        space, new = self._context.space, list[tuple["Arch", str]]()
        for child in bred:
            if (arch := novelty.claim(child)) is not None:
                new.append((arch, "child"))
            elif space.valid(child) and (arch := novelty.near(child)) is not None:
                new.append((arch, "mutant"))
        return new + novelty.at_random(n - len(new))

    def _study(
        self, trials: Sequence[Trial], population: int, seed: int
    ) -> tuple[optuna.Study, NSGAIISampler]:
        """A study in memory that holds `trials` as possible parents. Failed trials are none."""
        sampler = NSGAIISampler(population_size=population, seed=seed)
        study = optuna.create_study(directions=directions(self._context.problem), sampler=sampler)
        study.add_trials([self._codec.trial(trial, _PARENTS) for trial in trials if trial.values])
        return study, sampler

    def _select(self, trials: Sequence[Trial]) -> list[Trial]:
        """The `population` that survives: constrained dominance, then crowding; in the order of the run."""
        study, sampler = self._study(trials, self._context.population, seed=0)
        kept = {t.user_attrs["arch"] for t in sampler.get_parent_population(study, _CHILDREN)}
        return [trial for trial in trials if trial.arch in kept]

    def _breed(self, n: int, seed: int) -> list[Arch]:
        """`n` children of the survivors; none when fewer than two survive."""
        if len(self._survivors) < 2:
            return []
        study, _ = self._study(self._survivors, self._context.population, seed)
        # Optuna counts finished trials to find the generation of a new one, and a generation of ours
        # can be short of failed ones. A waiting trial that carries its generation is not counted.
        study.add_trials(
            [create_trial(state=TrialState.WAITING, system_attrs={GENERATION: _CHILDREN}) for _ in range(n)]
        )
        return [self._codec.arch(study.ask(self._codec.distributions).params) for _ in range(n)]


@add_strategy(
    "nsga2",
    title="NSGA-II: non-dominated sorting with constraints, crowding, crossover and mutation",
    paper="Deb et al. 2002, A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II",
)
def nsga2(context: StrategyContext) -> Propose:
    """NSGA-II whose population is that of the context, through Optuna's `NSGAIISampler`."""
    if context.population < 2:
        raise UsageError(f"strategy 'nsga2': population must be at least 2, got {context.population}")
    return Breeding(context)
