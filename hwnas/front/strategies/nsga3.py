"""NSGA-III [1]: reference directions keep the front spread where there are three objectives and more.

It survives by rank as NSGA-II; of the last rank that fits in part, those near the directions that have the
fewest survivors. Directions are the simplex lattice of Das and Dennis with at least `population` points.

Two parts of [1] are left out: extreme points and intercepts of the hyperplane give way to ideal and nadir of
the pool's first rank, and infeasible ones survive by violation alone.

[1] K. Deb, H. Jain. An Evolutionary Many-Objective Optimization Algorithm Using Reference-Point-Based
    Nondominated Sorting Approach, Part I. IEEE Transactions on Evolutionary Computation 18(4), 2014.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from hwnas.core.arrays import Array, Indices
from hwnas.front.breeding import Breeder, Evaluated, Population, Survive
from hwnas.front.history import History
from hwnas.front.novelty import Novelty
from hwnas.front.strategy import Propose, StrategyContext, add_strategy

if TYPE_CHECKING:
    from hwnas.core.choice import Arch


@add_strategy(
    "nsga3",
    title="NSGA-III: as NSGA-II, spread by reference directions; for three objectives and more",
    paper="Deb & Jain 2014, An Evolutionary Many-Objective Optimization Algorithm Using "
    "Reference-Point-Based Nondominated Sorting Approach, Part I",
    least_population=2,
)
def nsga3(context: StrategyContext) -> Propose:
    """The population is that of the context."""
    breeder = Breeder(context, Population(context, by_directions(context)))

    def propose(history: History, n: int, novelty: Novelty) -> list[tuple[Arch, str]]:
        new = breeder.children(history, n, novelty, context.rng(history.generations))
        return new + novelty.at_random(n - len(new))

    return propose


def by_directions(context: StrategyContext) -> Survive:
    """Whole ranks, then niches ([1], section IV)."""
    problem = context.problem
    directions = lattice(len(problem.objectives), context.population)

    def survive(pool: Evaluated, n: int, rng: np.random.Generator) -> list[int]:
        values = [v for _, v in pool]
        ranks = problem.ranks(values)
        order = np.argsort(ranks, kind="stable")
        if len(pool) <= n:
            return [int(i) for i in order]
        last = ranks[order[n - 1]]
        kept = [int(i) for i in order if ranks[i] < last]
        edge = np.flatnonzero(ranks == last)
        points = normalised(problem.minimised(values), ranks)
        niche, distance = associate(points, directions)
        return kept + niches(kept, edge, niche, distance, n, len(directions), rng)

    return survive


def lattice(n_objectives: int, at_least: int) -> Array:
    """The simplex lattice of Das and Dennis, of the fewest divisions that give so many points: (points, m).

    p divisions give the binomial of (p + m - 1) over p.
    """
    if n_objectives == 1:
        return np.ones((1, 1))
    p = next(p for p in itertools.count(1) if math.comb(p + n_objectives - 1, p) >= at_least)
    bars = itertools.combinations(range(p + n_objectives - 1), n_objectives - 1)
    rows = [np.diff([-1, *bar, p + n_objectives - 1]) - 1 for bar in bars]
    return np.array(rows, dtype=np.float64) / p


def normalised(points: Array, ranks: Indices) -> Array:
    """Points from 0 at the ideal to 1 at the nadir of the first rank."""
    first = points[ranks == ranks.min()]
    spread = np.ptp(first, axis=0)
    scaled: Array = (points - first.min(axis=0)) / np.where(spread > 0, spread, 1.0)
    return scaled


def associate(points: Array, directions: Array) -> tuple[Indices, Array]:
    """The nearest direction of each point, and the distance from its ray: (n, m), (d, m) -> (n,), (n,)."""
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    along = points @ unit.T
    squared = np.maximum((points**2).sum(axis=1)[:, None] - along**2, 0.0)
    nearest = squared.argmin(axis=1)
    return nearest, np.sqrt(squared[np.arange(len(points)), nearest])


def niches(
    kept: list[int],
    edge: Indices,
    niche: Indices,
    distance: Array,
    n: int,
    n_directions: int,
    rng: np.random.Generator,
) -> list[int]:
    """Indices of `edge` that fill up `kept` to `n`, from the emptiest niche each time ([1], algorithm 4)."""
    counts = np.bincount(niche[kept], minlength=n_directions)
    left = set(edge.tolist())
    chosen: list[int] = []
    while len(kept) + len(chosen) < n:
        open_niches = sorted({int(niche[i]) for i in left})
        fewest = min(counts[k] for k in open_niches)
        k = int(rng.choice([k for k in open_niches if counts[k] == fewest]))
        members = sorted(i for i in left if niche[i] == k)
        i = min(members, key=lambda m: distance[m]) if counts[k] == 0 else int(rng.choice(members))
        chosen.append(i)
        left.remove(i)
        counts[k] += 1
    return chosen
