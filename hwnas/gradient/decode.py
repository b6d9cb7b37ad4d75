"""From a policy to architectures: the most probable ones that satisfy every budget.

`most_probable` walks the architectures in the order of their probability, so the first that satisfies the
budgets is the answer. Tight budgets can make that walk too long. Then swaps repair the most probable
architecture, and pairs of swaps improve the result.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwnas.core.budget import Budget
from hwnas.core.choice import Arch
from hwnas.core.space import Space
from targets.errors import InfeasibleError

from .step.protocols import SearchCosts
from .step.ranking import LogProbs, Unit, best, log_prob, most_probable, sample, scores_of, units_of

LONGEST_WALK = 20_000
"""Of the most probable architectures, in their number: 0.2 s; all of a small space."""
_BATCH = 1024


@dataclass(frozen=True, slots=True)
class Decoded:
    """An architecture that a policy proposes.

    origin: argmax, repaired (for the budgets), sampled, or next (in the order of probability).
    """

    arch: Arch
    log_prob: float
    origin: str


def excess(costs: SearchCosts, archs: Sequence[Arch], budgets: Sequence[Budget]) -> NDArray[np.float64]:
    """Sum over the budgets of the relative excess of each architecture, (n,); 0 where all are met."""
    values = costs.of(archs)
    total = np.zeros(len(archs))
    for b in budgets:
        total += np.maximum(values[b.metric] / b.limit - 1, 0)
    return total


def respect_budgets(space: Space, costs: SearchCosts, log_probs: LogProbs, budgets: Sequence[Budget]) -> Arch:
    """The most probable architecture that satisfies every budget.

    Exact when it is among the 20,000 most probable, which covers every space up to that size;
    otherwise the best that repair by swaps finds. InfeasibleError when nothing satisfies them.
    """
    require_reachable(space, costs, budgets)
    log_probs = scores_of(log_probs, space.choices)
    units = units_of(log_probs, space.choices)
    walk = (a for a in itertools.islice(most_probable(units), LONGEST_WALK) if space.valid(a))
    while batch := list(itertools.islice(walk, _BATCH)):
        fits = excess(costs, batch, budgets) <= 0
        if fits.any():
            return space.canonical(batch[int(fits.argmax())])
    starts = [best(units), *(costs.minimum(b.metric)[1] for b in budgets)]
    ends = [_repair(space, costs, log_probs, units, start, budgets) for start in starts]
    left = excess(costs, ends, budgets)
    if space.size <= LONGEST_WALK or (left > 0).all():
        raise _none_together(space, costs, ends[int(left.argmin())], budgets)
    fit = max((a for a, x in zip(ends, left, strict=True) if x <= 0), key=lambda a: log_prob(log_probs, a))
    return space.canonical(_improve(space, costs, log_probs, units, fit, budgets))


def require_reachable(space: Space, costs: SearchCosts, budgets: Sequence[Budget]) -> None:
    """InfeasibleError naming the least architecture of the space where one budget alone is out of reach."""
    faults = []
    for b in budgets:
        least, arch = costs.minimum(b.metric)
        if least > b.limit:
            faults.append(
                f"budget {b} cannot be met: the least {b.metric} in space {space.name} is {least:.4g}, of "
                f"{space.key(arch)}; the nearest feasible budget is {b.metric}<={_round_up(least)}"
            )
    if faults:
        raise InfeasibleError("; ".join(faults))


def decode_seeds(
    space: Space,
    costs: SearchCosts,
    log_probs: LogProbs,
    budgets: Sequence[Budget],
    n: int,
    rng: np.random.Generator,
    decoded: Arch | None = None,
) -> list[Decoded]:
    """Up to `n` different architectures within the budgets.

    First `decoded` (None: the most probable), repaired where it exceeds a budget; then samples of the
    policy; then the next most probable. Fewer than `n` only when the 20,000 most probable hold no more.
    """
    log_probs = scores_of(log_probs, space.choices)
    units = units_of(log_probs, space.choices)
    first = space.canonical(best(units) if decoded is None else decoded)
    fits = bool(excess(costs, [first], budgets)[0] <= 0)
    arch = first if fits else respect_budgets(space, costs, log_probs, budgets)
    seeds = {space.key(arch): Decoded(arch, log_prob(log_probs, arch), "argmax" if fits else "repaired")}
    following = itertools.islice(most_probable(units), LONGEST_WALK)
    for origin, source in (("sampled", iter(sample(units, 64 * n, rng))), ("next", following)):
        valid = (a for a in source if space.valid(a))
        while len(seeds) < n and (batch := list(itertools.islice(valid, _BATCH))):
            for a, over in zip(batch, excess(costs, batch, budgets), strict=True):
                if over <= 0 and len(seeds) < n:
                    a = space.canonical(a)
                    seeds.setdefault(space.key(a), Decoded(a, log_prob(log_probs, a), origin))
    return list(seeds.values())


Swap = tuple[int, int]
"""A unit, and the row that it gets."""


def _swaps(units: Sequence[Unit], arch: Arch) -> list[Swap]:
    return [
        (u, row)
        for u, unit in enumerate(units)
        for row, options in enumerate(unit.options.tolist())
        if options != [arch[c] for c in unit.choices]
    ]


def _swapped(units: Sequence[Unit], arch: Arch, *swaps: Swap) -> Arch:
    swapped = list(arch)
    for u, row in swaps:
        for choice, option in zip(units[u].choices, units[u].options[row].tolist(), strict=True):
            swapped[choice] = option
    return tuple(swapped)


def _repair(
    space: Space,
    costs: SearchCosts,
    log_probs: LogProbs,
    units: Sequence[Unit],
    arch: Arch,
    budgets: Sequence[Budget],
) -> Arch:
    """Swap one unit after the other: each time the swap that removes most excess per lost log-probability."""
    over = float(excess(costs, [arch], budgets)[0])
    while over > 0:
        near = [a for a in (_swapped(units, arch, s) for s in _swaps(units, arch)) if space.valid(a)]
        left = excess(costs, near, budgets)
        if not near or left.min() >= over:
            return arch
        here = log_prob(log_probs, arch)
        lost = np.maximum([here - log_prob(log_probs, a) for a in near], 1e-9)
        most = int(np.where(left < over, (over - left) / lost, -math.inf).argmax())
        arch, over = near[most], float(left[most])
    return arch


def _improve(
    space: Space,
    costs: SearchCosts,
    log_probs: LogProbs,
    units: Sequence[Unit],
    arch: Arch,
    budgets: Sequence[Budget],
) -> Arch:
    """Make swaps, alone and in pairs, that raise the probability within the budgets, until none is left."""
    while True:
        singles = _swaps(units, arch)
        gains = {s: _gain(units, log_probs, arch, s) for s in singles}
        up = [s for s in singles if gains[s] > 0]
        pairs = [(s, t) for s in up for t in singles if t[0] != s[0] and gains[s] + gains[t] > 1e-12]
        moves: list[tuple[Swap, ...]] = [(s,) for s in singles if gains[s] > 1e-12]
        moves += pairs
        near = [a for a in (_swapped(units, arch, *m) for m in moves) if space.valid(a)]
        if not near:
            return arch
        fits = excess(costs, near, budgets) <= 0
        if not fits.any():
            return arch
        arch = max((a for a, ok in zip(near, fits, strict=True) if ok), key=lambda a: log_prob(log_probs, a))


def _gain(units: Sequence[Unit], log_probs: LogProbs, arch: Arch, swap: Swap) -> float:
    unit = units[swap[0]]
    return float(unit.scores[swap[1]] - sum(log_probs[c][arch[c]] for c in unit.choices))


def _round_up(value: float) -> str:
    """Four significant digits, never below `value`."""
    digits = 3 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{math.ceil(value * 10**digits) / 10**digits:.12g}"


def _none_together(
    space: Space, costs: SearchCosts, nearest: Arch, budgets: Sequence[Budget]
) -> InfeasibleError:
    values = costs.of([nearest])
    fixed = ", ".join(f"{b.metric}<={_round_up(max(b.limit, float(values[b.metric][0])))}" for b in budgets)
    known = "holds" if space.size <= LONGEST_WALK else "showed"
    return InfeasibleError(
        f"each budget can be met alone, but space {space.name} {known} no architecture that meets all of "
        f"{', '.join(map(str, budgets))}; the nearest is {space.key(nearest)}, feasible from {fixed}"
    )
