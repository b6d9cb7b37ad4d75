"""Strategies that go by generations; they differ only in how the next one is proposed.

A generation follows from (seed, number of the generation, rows so far) and from nothing else: no
random state lives on from one generation to the next. A run that is killed anywhere and restored
from its rows therefore goes on with the same architectures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from targets.errors import UsageError

from .history import Ledger, Row
from .novelty import Novelty
from .objectives import Goals

if TYPE_CHECKING:
    from hwnas.core.choice import Arch
    from hwnas.core.space import Space

Propose = Callable[["Ledger", int, "Novelty"], list[tuple["Arch", str]]]
"""(rows so far, how many, source of new architectures) -> architectures with their origins."""


class Generational:
    """Ask and tell by generations of `population` architectures, none of which comes twice.

    name: of the method. propose: what makes it one. seeds: architectures that generation 0 holds
    beside random ones. exhausted: the last `ask` found fewer new architectures than `population`.
    """

    def __init__(
        self,
        name: str,
        propose: Propose,
        space: Space,
        goals: Goals,
        *,
        population: int,
        seed: int,
        seeds: Sequence[Arch] = (),
        max_failures: int = 10,
    ) -> None:
        if population < 2:
            raise UsageError(f"population must be at least 2, got {population}")
        if seed < 0:
            raise UsageError(f"seed must be 0 or above, got {seed}")
        self.name, self.population, self.seed = name, population, seed
        self.seeds = tuple(seeds)
        self.ledger = Ledger(space, goals, max_failures=max_failures)
        self.exhausted = False
        self._propose = propose
        self._asked: list[tuple[Arch, str]] = []

    @property
    def question(self) -> dict[str, Any]:
        """What the rows of this search answer, as JSON; a resumed run must ask the same."""
        space, goals = self.ledger.space, self.ledger.goals
        return {
            "strategy": self.name,
            "space": space.name,
            "choices": {c.name: list(c.options) for c in space.choices},
            "objectives": [f"{'max' if o.maximise else 'min'} {o.metric}" for o in goals.objectives],
            "budgets": {b.metric: b.limit for b in goals.budgets},
            "population": self.population,
            "seed": self.seed,
            "seeds": [space.key(a) for a in self.seeds],
        }

    def ask(self) -> list[Arch]:
        """The next generation; repeated until `tell`, it answers the same.

        Fewer than `population` only when `exhausted`: the space holds no more, or is too large to
        list and 100 random draws gave nothing new.
        """
        space, generation = self.ledger.space, self.ledger.generations
        novelty = Novelty(space, self.ledger.keys, np.random.default_rng(_entropy(self.seed, generation, 0)))
        if generation == 0:
            seeds = [(a, "seed") for a in map(novelty.claim, self.seeds) if a is not None]
            self._asked = seeds + at_random(self.ledger, self.population - len(seeds), novelty)
        else:
            self._asked = self._propose(self.ledger, self.population, novelty)
        self.exhausted = len(self._asked) < self.population
        return [arch for arch, _ in self._asked]

    def tell(self, archs: Sequence[Arch], metrics: Sequence[object]) -> list[Row]:
        """Record the metrics of the architectures that were asked, one generation as a whole."""
        if not self._asked or [arch for arch, _ in self._asked] != list(archs):
            raise UsageError("tell() takes the architectures of the last ask(), in that order and once")
        rows = self.ledger.add(archs, [origin for _, origin in self._asked], metrics)
        self._asked = []
        return rows

    def restore(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Go on after stored rows (`load_rows`) as if the run had never stopped."""
        self.ledger.restore(rows)


def sampler_seed(seed: int, generation: int) -> int:
    """The seed (32 bits) of the sampler that breeds `generation`."""
    return int(_entropy(seed, generation, 1).generate_state(1)[0])


def at_random(ledger: Ledger, n: int, novelty: Novelty) -> list[tuple[Arch, str]]:
    """Up to `n` new architectures at random: the baseline that every method has to beat."""
    found = (novelty.anywhere() for _ in range(n))
    return [(arch, "random") for arch in found if arch is not None]


def random_search(
    space: Space,
    goals: Goals,
    *,
    population: int,
    seed: int,
    seeds: Sequence[Arch] = (),
    max_failures: int = 10,
) -> Generational:
    """Random search without repetition."""
    return Generational(
        "random",
        at_random,
        space,
        goals,
        population=population,
        seed=seed,
        seeds=seeds,
        max_failures=max_failures,
    )


def _entropy(seed: int, generation: int, stream: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(generation, stream))
