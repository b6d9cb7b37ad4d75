"""From a policy to architectures: the most probable ones that satisfy every budget.

`most_probable` walks the architectures in the order of their probability, so the first that fits
the budgets is the answer. Where budgets bind hard that walk may be too long; then swaps repair the
most probable architecture, and pairs of swaps improve what came out.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from targets.errors import InfeasibleError

from ..budget import Budget
from ..mix import Arch
from ..registry import Registry
from ..space import Space

LogProbs = Sequence[NDArray[np.float64]]
"""log p of each option, one array (n_options,) per choice."""

_WALK = 20_000
"""Architectures looked at in the order of probability: 0.2 s; all of a small space."""
_BATCH = 1024


class ExactCosts(Protocol):
    """`cost.CostModel`, as far as decoding needs it."""

    def of(self, archs: Sequence[Arch]) -> dict[str, NDArray[np.float64]]:
        """Per metric (n,)."""
        ...

    def minimum(self, metric: str) -> tuple[float, Arch]:
        """The least value in the space, and an architecture that has it."""
        ...


@dataclass(frozen=True, slots=True)
class Decoded:
    """An architecture that a policy proposes. origin: argmax, repaired (for the budgets), sampled, next."""

    arch: Arch
    log_prob: float
    origin: str


Decode = Callable[[LogProbs], Arch]
DECODERS: Registry[Decode] = Registry("decoder")


@DECODERS.add("argmax")
def argmax(log_probs: LogProbs) -> Arch:
    """The most probable option of every choice."""
    return tuple(int(p.argmax()) for p in log_probs)


def log_prob(log_probs: LogProbs, arch: Arch) -> float:
    """The log-probability of an architecture, choices independent."""
    return float(sum(p[i] for p, i in zip(log_probs, arch, strict=True)))


def most_probable(log_probs: LogProbs) -> Iterator[Arch]:
    """Every architecture once, most probable first.

    The smallest sums of one term per list: with the lists sorted by their second term, each state
    (last touched list i at rank r) has three successors: r + 1; also list i + 1; list i + 1 instead.
    """
    orders = [np.argsort(-p, kind="stable") for p in log_probs]
    losses = [(p.max() - p[o]).tolist() for p, o in zip(log_probs, orders, strict=True)]
    lists = sorted((c for c in range(len(losses)) if len(losses[c]) > 1), key=lambda c: losses[c][1])
    best = [int(o[0]) for o in orders]
    yield tuple(best)
    if not lists:
        return
    ties = itertools.count()
    kept: tuple[tuple[int, int], ...] = ()
    heap = [(losses[lists[0]][1], next(ties), 0, 1, kept)]
    while heap:
        loss, _, i, rank, kept = heapq.heappop(heap)
        arch = best.copy()
        for choice, r in (*kept, (lists[i], rank)):
            arch[choice] = int(orders[choice][r])
        yield tuple(arch)
        own = losses[lists[i]]
        if rank + 1 < len(own):
            heapq.heappush(heap, (loss + own[rank + 1] - own[rank], next(ties), i, rank + 1, kept))
        if i + 1 < len(lists):
            second = losses[lists[i + 1]][1]
            heapq.heappush(heap, (loss + second, next(ties), i + 1, 1, (*kept, (lists[i], rank))))
            if rank == 1:
                heapq.heappush(heap, (loss - own[1] + second, next(ties), i + 1, 1, kept))


def excess(costs: ExactCosts, archs: Sequence[Arch], budgets: Sequence[Budget]) -> NDArray[np.float64]:
    """Sum over the budgets of the relative excess of each architecture, (n,); 0 where all are met."""
    found = costs.of(archs)
    out = np.zeros(len(archs))
    for b in budgets:
        out += np.maximum(found[b.metric] / b.limit - 1, 0)
    return out


def respect_budgets(space: Space, costs: ExactCosts, log_probs: LogProbs, budgets: Sequence[Budget]) -> Arch:
    """The most probable architecture that satisfies every budget.

    Exact when it is among the 20,000 most probable, which covers every space up to that size;
    otherwise the best that repair by swaps finds. InfeasibleError when nothing satisfies them.
    """
    require_reachable(space, costs, budgets)
    walk = (a for a in itertools.islice(most_probable(log_probs), _WALK) if space.valid(a))
    while batch := list(itertools.islice(walk, _BATCH)):
        fits = excess(costs, batch, budgets) <= 0
        if fits.any():
            return space.canonical(batch[int(fits.argmax())])
    starts = [argmax(log_probs), *(costs.minimum(b.metric)[1] for b in budgets)]
    ends = [_repair(space, costs, log_probs, start, budgets) for start in starts]
    left = excess(costs, ends, budgets)
    if space.size <= _WALK or (left > 0).all():
        raise _none_together(space, costs, ends[int(left.argmin())], budgets)
    best = max((a for a, x in zip(ends, left, strict=True) if x <= 0), key=lambda a: log_prob(log_probs, a))
    return space.canonical(_improve(space, costs, log_probs, best, budgets))


def require_reachable(space: Space, costs: ExactCosts, budgets: Sequence[Budget]) -> None:
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
    costs: ExactCosts,
    log_probs: LogProbs,
    budgets: Sequence[Budget],
    n: int,
    rng: np.random.Generator,
    decode: Decode = argmax,
) -> list[Decoded]:
    """Up to `n` different architectures within the budgets, the decoded one first.

    Then some that the policy samples, then the next most probable; fewer only when the 20,000 most
    probable hold no more.
    """
    first = space.canonical(decode(log_probs))
    fits = bool(excess(costs, [first], budgets)[0] <= 0)
    arch = first if fits else respect_budgets(space, costs, log_probs, budgets)
    found = {space.key(arch): Decoded(arch, log_prob(log_probs, arch), "argmax" if fits else "repaired")}
    probabilities = [np.exp(p) / np.exp(p).sum() for p in log_probs]
    drawn = np.stack([rng.choice(len(p), size=64 * n, p=p) for p in probabilities], axis=1)
    following = itertools.islice(most_probable(log_probs), _WALK)
    for origin, source in (("sampled", (tuple(int(i) for i in row) for row in drawn)), ("next", following)):
        valid = (a for a in source if space.valid(a))
        while len(found) < n and (batch := list(itertools.islice(valid, _BATCH))):
            for a, over in zip(batch, excess(costs, batch, budgets), strict=True):
                if over <= 0 and len(found) < n:
                    a = space.canonical(a)
                    found.setdefault(space.key(a), Decoded(a, log_prob(log_probs, a), origin))
    return list(found.values())


def _swaps(space: Space, arch: Arch) -> list[tuple[int, int]]:
    return [(c, o) for c, n in enumerate(space.n_options) for o in range(int(n)) if o != arch[c]]


def _swapped(arch: Arch, *swaps: tuple[int, int]) -> Arch:
    out = list(arch)
    for choice, option in swaps:
        out[choice] = option
    return tuple(out)


def _repair(
    space: Space, costs: ExactCosts, log_probs: LogProbs, arch: Arch, budgets: Sequence[Budget]
) -> Arch:
    """Swap one option after the other, each time the most excess removed per log-probability lost."""
    over = float(excess(costs, [arch], budgets)[0])
    while over > 0:
        near = [a for a in (_swapped(arch, s) for s in _swaps(space, arch)) if space.valid(a)]
        left = excess(costs, near, budgets)
        if not near or left.min() >= over:
            return arch
        here = log_prob(log_probs, arch)
        lost = np.maximum([here - log_prob(log_probs, a) for a in near], 1e-9)
        best = int(np.where(left < over, (over - left) / lost, -math.inf).argmax())
        arch, over = near[best], float(left[best])
    return arch


def _improve(
    space: Space, costs: ExactCosts, log_probs: LogProbs, arch: Arch, budgets: Sequence[Budget]
) -> Arch:
    """Swaps, alone and in pairs, that stay within the budgets and raise the probability, to the end."""
    while True:
        singles = _swaps(space, arch)
        gains = {s: float(log_probs[s[0]][s[1]] - log_probs[s[0]][arch[s[0]]]) for s in singles}
        pairs = [
            (s, t)
            for s in singles
            if gains[s] > 0
            for t in singles
            if t[0] != s[0] and gains[s] + gains[t] > 1e-12
        ]
        moves: list[tuple[tuple[int, int], ...]] = [(s,) for s in singles if gains[s] > 1e-12]
        moves += pairs
        near = [a for a in (_swapped(arch, *m) for m in moves) if space.valid(a)]
        if not near:
            return arch
        fits = excess(costs, near, budgets) <= 0
        if not fits.any():
            return arch
        arch = max((a for a, ok in zip(near, fits, strict=True) if ok), key=lambda a: log_prob(log_probs, a))


def _round_up(value: float) -> str:
    """Four significant digits, never below `value`."""
    digits = 3 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{math.ceil(value * 10**digits) / 10**digits:.12g}"


def _none_together(
    space: Space, costs: ExactCosts, nearest: Arch, budgets: Sequence[Budget]
) -> InfeasibleError:
    found = costs.of([nearest])
    fixed = ", ".join(f"{b.metric}<={_round_up(max(b.limit, float(found[b.metric][0])))}" for b in budgets)
    known = "holds" if space.size <= _WALK else "showed"
    return InfeasibleError(
        f"each budget can be met alone, but space {space.name} {known} no architecture that meets all of "
        f"{', '.join(map(str, budgets))}; the nearest is {space.key(nearest)}, feasible from {fixed}"
    )
