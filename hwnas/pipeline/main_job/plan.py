"""The budgets, checked against the exact bounds of the space, and the number of steps.

Steps are counts, never deadlines, so that a resumed run does exactly what an uninterrupted one does.
With `--minutes` the counts are set once, from measured unit costs, and stand in the record of this stage.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from hwnas.core.budget import Budget
from hwnas.core.mix import Mix
from hwnas.gradient.decode import require_reachable
from hwnas.gradient.method_file import find_method
from hwnas.gradient.search import GradientSearch, SearchSettings
from hwnas.gradient.stage_supernets import search_start
from hwnas.gradient.step.passes import weight_pass
from hwnas.gradient.warmup import make_supernet
from hwnas.pipeline.stages import Outcome

from .run_context import EVAL_IMAGES, RunContext

N_RANDOM = 200
"""Random architectures whose median latency is the budget where the user gives none."""

SHARES = {"supernet_steps": 0.25, "search_steps": 0.10, "generations": 0.15, "train_epochs": 0.45}
"""How the time that `--minutes` leaves after profiling is divided; the rest is export and report."""

SAFETY = 0.9

RESERVE_S = 40.0
"""What measuring candidates, baselines and models, export and report take whatever the counts are."""


@dataclass(frozen=True, slots=True)
class UnitCosts:
    """Wall seconds of one unit of each count."""

    supernet_steps: float
    search_steps: float
    generations: float
    train_epochs: float


def make_plan(context: RunContext) -> Outcome:
    """Fix budgets and counts; InfeasibleError when a budget is below what the space can reach."""
    budgets = _budgets(context)
    require_reachable(context.space, context.costs, budgets)
    tight = [_tightened(context, b) for b in budgets]
    config = context.config
    counts = {name: int(getattr(config, name)) for name in SHARES}
    if config.minutes is not None:
        counts = _fit(context, config.minutes * 60 - _spent_s(context) - RESERVE_S)
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
    return Budget(
        budget.metric, min(budget.limit, max(budget.limit / (1 + context.table["margin"]), 1.001 * least))
    )


def _spent_s(context: RunContext) -> float:
    started = (context.path / "config.resolved.json").stat().st_mtime
    return max(0.0, time.time() - started)


def _fit(context: RunContext, left_s: float) -> dict[str, int]:
    """Counts that fill the time left, at least one unit of each."""
    unit_s = _unit_costs(context)
    counts = {
        name: max(1, int(SAFETY * share * max(left_s, 0) / getattr(unit_s, name)))
        for name, share in SHARES.items()
    }
    context.run.log(
        f"{max(left_s, 0):.0f} s of --minutes {context.config.minutes:g} are left for searching and training"
    )
    return counts


def _unit_costs(context: RunContext) -> UnitCosts:
    """Times a few real steps on a throw-away supernet."""
    config, space = context.config, context.space
    rng = np.random.default_rng([config.seed, 1])
    supernet = make_supernet(space, config.seed)
    train, val = (context.batches(s, 0, augmented=True) for s in ("train", "val"))
    archs = [space.sample(rng) for _ in range(7)]
    times = []
    for i, arch in enumerate(archs):
        began = time.monotonic()
        weight_pass(supernet, [Mix.one_hot(space.choices, arch)], train.at(i), 0.1, "plan")
        times.append(time.monotonic() - began)
    step_s = float(np.median(times[1:]))
    settings = SearchSettings(steps=5, epoch_steps=5, seed=config.seed)
    method = find_method(config.method)
    search = GradientSearch(
        space=space,
        supernet=search_start(space, supernet, method),
        costs=context.costs,
        budgets=(),
        method=method,
        train=train,
        val=val,
        settings=settings,
    )
    began = time.monotonic()
    search.run()
    search_s = (time.monotonic() - began) / 5
    jobs = config.picks + 1 + 2 * config.random_baselines
    workers = context.n_workers
    return UnitCosts(
        supernet_steps=step_s,
        search_steps=search_s,
        generations=config.population * evaluation_s(context, step_s),
        train_epochs=step_s * train.steps_per_epoch * -(-jobs // workers) * 1.2,
    )


def evaluation_s(context: RunContext, step_s: float) -> float:
    """Seconds to evaluate one architecture: forward passes only, a third of a step each."""
    images = min(EVAL_IMAGES, len(context.data.split("val")))
    return step_s / 3 * images / context.config.batch_size + 0.02
