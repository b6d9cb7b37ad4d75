"""What the search of the front begins with, before its strategy proposes anything."""

from __future__ import annotations

import numpy as np

from hwnas.core.budget import feasible
from hwnas.core.choice import Arch
from hwnas.pipeline.networks import towards

from .run_context import RunContext

N_BETWEEN = 5
"""Architectures of the first generation between the gradient search's own and the fastest."""

N_FIRST = 5
"""Architectures that a search by trainings begins with, plain networks the last of them: as many as the
Bayesian search evaluates before its surrogate chooses."""


def first_architectures(context: RunContext) -> list[Arch]:
    """The architectures of the gradient search, the fastest one on each device, and some beside them.

    Where each costs a training those are plain networks. Else they are between the first and the fastest, as
    random architectures crowd around the median latency and leave out the fast end.
    """
    decoded = context.archs([row["arch"] for row in context.result("gradient").get("seeds", [])])
    fastest = list(dict.fromkeys(context.costs.minimum(metric)[1] for metric in context.burdens))
    first = [*decoded, *fastest]
    if context.trains:
        # As planned at first: what is planned later would change the identity of a run that goes on.
        planned = context.result("plan")["counts"]["evaluations"]
        return [*first, *plain_networks(context, n_first(planned) - len(first))]
    rng = np.random.default_rng([context.config.seed, 0xFA57])
    end = decoded[0] if decoded else context.space.sample(rng)
    return [*first, *(towards(context.space, end, fastest[0], rng) for _ in range(N_BETWEEN))]


def n_first(n_evaluations: int) -> int:
    """Of so many evaluations: `N_FIRST`, but a third of all is left to the strategy.

    >>> [n_first(n) for n in (3, 6, 8, 14)]
    [2, 4, 5, 5]
    """
    return min(N_FIRST, 2 * n_evaluations // 3)


def plain_networks(context: RunContext, n: int) -> list[Arch]:
    """At most `n` of the space's plain networks inside the budgets, evenly spread in log latency.

    The slowest comes first: it is the most accurate one that a person would take.
    """
    archs = context.space.plain() if n > 0 else []
    costs = context.costs_of(archs) if archs else []
    inside = [i for i, of_arch in enumerate(costs) if feasible(context.search_budgets, of_arch)]
    logs = {i: float(np.log(context.burden(costs[i]))) for i in inside}
    chosen: dict[int, None] = {}
    if not logs:
        return []
    for place in np.linspace(max(logs.values()), min(logs.values()), n + 1)[:n]:
        left = [i for i in inside if i not in chosen]
        if left:
            chosen[min(left, key=lambda i: abs(logs[i] - float(place)))] = None
    return [archs[i] for i in chosen]
