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
    names = [device.name for device in context.devices]
    budgets = [Budget.parse(b).on_devices(names) for b in context.config.budgets]
    if budgets:
        return budgets
    rng = np.random.default_rng([context.config.seed, N_RANDOM])
    costs = context.costs.of([context.space.sample(rng) for _ in range(N_RANDOM)])
    for device in context.devices:
        median_ms = float(np.median(costs[device.metric]))
        budgets.append(Budget(device.metric, float(f"{median_ms:.3g}")))
    each = ", ".join(map(str, budgets))
    context.run.log(f"no budget given: {each}, the median of {N_RANDOM} random architectures")
    return budgets


def _tightened(context: RunContext, budget: Budget) -> Budget:
    """A latency budget less the table's error, so that what is predicted inside is measured inside.

    Never below what the space can reach: then the last step is the measurement's.
    """
    device = next((d for d in context.devices if d.metric == budget.metric), None)
    if device is None:
        return budget
    least = context.costs.minimum(budget.metric)[0]
    inside = max(budget.limit / (1 + device.margin), 1.001 * least)
    return replace(budget, limit=min(budget.limit, inside))
