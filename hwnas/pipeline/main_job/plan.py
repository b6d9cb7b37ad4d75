"""The budgets, checked against the exact bounds of the space, and the number of steps.

Steps are counts, never deadlines, so that a resumed run does exactly what an uninterrupted one does.
With `--minutes` the counts are set once, from measured unit costs, and stand in the record of this stage.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwnas.core.budget import Budget
from hwnas.gradient.decode import require_reachable
from hwnas.pipeline.counts import default_counts
from hwnas.pipeline.stages import Outcome

from .run_context import RunContext

N_RANDOM = 200
"""Random architectures whose median latency is the budget where the user gives none."""


def make_plan(context: RunContext) -> Outcome:
    """Fix budgets and counts; InfeasibleError when a budget is below what the space can reach."""
    budgets = _budgets(context)
    require_reachable(context.space, context.costs, budgets)
    tight = [_tightened(context, b) for b in budgets]
    counts = default_counts(context.config, len(context.data.split("train")), context.n_workers).to_json()
    context.run.log(
        f"budgets: {', '.join(map(str, budgets))}; "
        + ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in counts.items())
    )
    return Outcome(
        {"budgets": [str(b) for b in budgets], "search_budgets": [str(b) for b in tight], "counts": counts}
    )


def _budgets(context: RunContext) -> list[Budget]:
    budgets = [Budget.parse(b) for b in context.config.budgets]
    if budgets:
        return budgets
    rng = np.random.default_rng([context.config.seed, N_RANDOM])
    archs = [context.space.sample(rng) for _ in range(N_RANDOM)]
    median_ms = float(np.median(context.costs.of(archs)["latency_ms"]))
    budget = Budget("latency_ms", float(f"{median_ms:.3g}"))
    context.run.log(f"no budget given: {budget}, the median of {N_RANDOM} random architectures")
    return [budget]


def _tightened(context: RunContext, budget: Budget) -> Budget:
    """A latency budget less the table's error, so that what is predicted inside is measured inside.

    Never below what the space can reach: then the last step is the measurement's.
    """
    if budget.metric != "latency_ms":
        return budget
    least = context.costs.minimum("latency_ms")[0]
    inside = max(budget.limit / (1 + context.table["margin"]), 1.001 * least)
    return replace(budget, limit=min(budget.limit, inside))
