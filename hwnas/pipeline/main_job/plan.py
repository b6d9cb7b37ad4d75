"""The budgets, checked against the exact bounds of the space, and how much of everything is done.

Steps are counts, never deadlines, so that a resumed run does what an uninterrupted one does. With `--minutes`
the counts follow from the speed of this machine; `replan` keeps them up with it, and writes that down.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace

import numpy as np

from hwnas.core.budget import Budget
from hwnas.front import STRATEGIES
from hwnas.gradient.decode import require_reachable
from hwnas.pipeline.counts import default_counts, epochs_by_fidelity, needs_latency, strategy_of
from hwnas.pipeline.forecast import UNCERTAINTY, Fit, Work, about, fit, forecast_s, in_words, total_s, work_of
from hwnas.pipeline.stages import Outcome

from .run_context import RunContext

N_RANDOM = 200
"""Random architectures whose median latency is the budget where the user gives none."""


def make_plan(context: RunContext) -> Outcome:
    """Fix budgets and counts; InfeasibleError when a budget is below what the space can reach."""
    budgets = _budgets(context)
    require_reachable(context.space, context.costs, budgets)
    tight = [_tightened(context, b) for b in budgets]
    work = measured_work(context)
    fitted = planned(context, work)
    forecast = forecast_s(fitted.counts, work)
    context.run.log(f"budgets: {', '.join(map(str, budgets)) or 'none'}")
    but = "" if context.federated is None else ", were the parts as fast as the images here"
    context.run.log(f"plan: {in_words(fitted.counts, work)}; {about(total_s(forecast))} from here{but}")
    warning = _warning(context, fitted, forecast)
    strategy = STRATEGIES[strategy_of(context.config)]
    options = strategy.read_options(context.config.strategy_options)
    for sentence in filter(None, (warning, strategy.too_few(options, fitted.counts.evaluations))):
        context.run.log.warn(sentence)
    return Outcome(
        {
            "budgets": [str(b) for b in budgets],
            "search_budgets": [str(b) for b in tight],
            "counts": fitted.counts.to_json(),
            "minutes": context.config.minutes,
            "work": asdict(work),
            "forecast_s": forecast,
            "warning": warning,
        }
    )


def measured_work(context: RunContext) -> Work:
    """How fast this machine trains networks of the space, as busy as it is."""
    n_train, n_val = (len(context.data.split(name)) for name in ("train", "val"))
    return work_of(context.config, context.space, n_train, n_val, context.n_workers)


def planned(context: RunContext, work: Work) -> Fit:
    """The counts as the options and the time want them."""
    config = context.config
    defaults = default_counts(config, work.n_train, context.n_workers, context.data.images_per_class)
    epochs_by_fidelity(config, defaults.eval_epochs)  # refuses what cannot be

    if config.minutes is None:
        return Fit(defaults)
    return fit(config, defaults, work, config.minutes * 60 - context.clock.spent_s)


def _warning(context: RunContext, fitted: Fit, forecast: Mapping[str, float]) -> str | None:
    """What the user should know of the time before it is spent."""
    minutes, spent_s = context.config.minutes, context.clock.spent_s
    if minutes is None or fitted.needed_s is None:
        return None
    enough = math.ceil((spent_s + fitted.needed_s) / 60 * (1 + UNCERTAINTY))
    too_long = spent_s + total_s(forecast) > 1.1 * 60 * minutes
    return (
        f"--minutes {minutes:g} is too little to train networks of {context.data.image_size} px well; "
        f"about {enough} minutes would do for the least"
        + (f", and this will take about {(spent_s + total_s(forecast)) / 60:.1f}" if too_long else "")
        + ". Give more minutes, smaller images (--image-size) or fewer networks (--picks, --random-baselines)"
    )


def _budgets(context: RunContext) -> list[Budget]:
    names = [device.name for device in context.devices]
    budgets = [Budget.parse(b).on_devices(names) for b in context.config.budgets]
    if budgets:
        return budgets
    if not needs_latency(context.config):
        context.run.log("no budget given: every network of the space is allowed")
        return []
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
