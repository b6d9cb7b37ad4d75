"""NSGA-II, bred by Optuna's sampler [1] from the rows of the run.

Each generation gets a fresh sampler over an in-memory study that holds exactly the trials that can
be parents: first all survivors and the last generation, to select from, then the selected, to breed
from. Finished trials breed only if they carry the sampler's generation attribute
(`trials.GENERATION`); that is how architectures found elsewhere, such as those of the gradient
search, become parents: they are rows of generation 0 like any other.

[1] K. Deb, A. Pratap, S. Agarwal, T. Meyarivan. A fast and elitist multiobjective genetic
    algorithm: NSGA-II. IEEE Transactions on Evolutionary Computation 6(2), 2002.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import optuna
from optuna.samplers import NSGAIISampler
from optuna.trial import TrialState, create_trial

from .generational import Generational, at_random, sampler_seed
from .history import Ledger, Row
from .novelty import Novelty
from .objectives import Goals
from .optuna_trials import GENERATION, Codec, directions, quiet

if TYPE_CHECKING:
    from hwnas.core.choice import Arch
    from hwnas.core.space import Space

_PARENTS, _CHILDREN = 0, 1  # generations within a study in memory; rows carry those of the run


class Breeding:
    """Proposes the children of the survivors; `Generational` is the rest of the method."""

    def __init__(self, space: Space, goals: Goals, seed: int) -> None:
        self._space, self._goals, self._seed = space, goals, seed
        self._codec = Codec(space)
        self._survivors: list[Row] = []
        self._selected = 0  # how many generations the survivors were selected from

    def __call__(self, ledger: Ledger, n: int, novelty: Novelty) -> list[tuple[Arch, str]]:
        """`n` children, each new: a bred duplicate is mutated until it is; fewer when none is left."""
        with quiet():
            while self._selected < ledger.generations:
                self._survivors = self._select(self._survivors + ledger.of_generation(self._selected), n)
                self._selected += 1
            bred = self._breed(n, sampler_seed(self._seed, ledger.generations))
        out: list[tuple[Arch, str]] = []
        for child in bred:
            if (new := novelty.claim(child)) is not None:
                out.append((new, "child"))
            elif self._space.valid(child) and (new := novelty.near(child)) is not None:
                out.append((new, "mutant"))
        return out + at_random(ledger, n - len(out), novelty)

    def _study(self, rows: Sequence[Row], population: int, seed: int) -> tuple[optuna.Study, NSGAIISampler]:
        """A study in memory that holds `rows` as possible parents. Failed rows are none."""
        sampler = NSGAIISampler(population_size=population, seed=seed)
        study = optuna.create_study(directions=directions(self._goals), sampler=sampler)
        study.add_trials([self._codec.trial(row, _PARENTS) for row in rows if row.judged])
        return study, sampler

    def _select(self, rows: Sequence[Row], n: int) -> list[Row]:
        """The `n` rows that survive: constrained dominance, then crowding; in the order of the run."""
        study, sampler = self._study(rows, n, seed=0)
        kept = {t.user_attrs["arch"] for t in sampler.get_parent_population(study, _CHILDREN)}
        return [row for row in rows if row.arch in kept]

    def _breed(self, n: int, seed: int) -> list[Arch]:
        """`n` children of the survivors; none when fewer than two survive."""
        if len(self._survivors) < 2:
            return []
        study, _ = self._study(self._survivors, n, seed)
        # Optuna counts finished trials to find the generation of a new one, and a generation of ours
        # can be short of failed ones. A waiting trial that carries its generation is not counted.
        study.add_trials(
            [create_trial(state=TrialState.WAITING, system_attrs={GENERATION: _CHILDREN}) for _ in range(n)]
        )
        return [self._codec.arch(study.ask(self._codec.distributions).params) for _ in range(n)]


def nsga2(
    space: Space,
    goals: Goals,
    *,
    population: int,
    seed: int,
    seeds: Sequence[Arch] = (),
    max_failures: int = 10,
) -> Generational:
    """NSGA-II over the goals. seeds: architectures that take part in generation 0 and breed."""
    return Generational(
        "nsga2",
        Breeding(space, goals, seed),
        space,
        goals,
        population=population,
        seed=seed,
        seeds=seeds,
        max_failures=max_failures,
    )
