"""The Pareto front by NSGA-II over shared weights and the tables, seeded by the gradient search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwnas.core.choice import Arch
from hwnas.front import OptunaExport, Problem, Trial, load_trials, make_strategy, run, save_trials
from hwnas.pipeline.networks import towards
from hwnas.pipeline.stages import Outcome

from .run_context import RunContext

OBJECTIVES = ("val_accuracy", "latency_ms", "macs", "peak_memory_mb")


N_BETWEEN = 5
"""Architectures of the first generation between the gradient search's own and the fastest."""


def make_problem(context: RunContext) -> Problem:
    """The objectives, and the budgets tightened by the table's error."""
    return Problem.parse(OBJECTIVES, context.search_budgets)


def towards_fastest(context: RunContext, arch: Arch) -> list[Arch]:
    """The fastest architecture of the space, and random ones between it and `arch`.

    Random architectures crowd around the median latency; without these the front has no fast end.
    """
    rng = np.random.default_rng([context.config.seed, 0xFA57])
    fastest = context.costs.minimum("latency_ms")[1]
    return [fastest, *(towards(context.space, arch, fastest, rng) for _ in range(N_BETWEEN))]


def search_front(context: RunContext) -> Outcome:
    """Write evaluated.json, generation by generation, and study.db, its copy for Optuna's tools."""
    config, problem = context.config, make_problem(context)
    seeds = context.archs([row["arch"] for row in context.result("gradient")["seeds"]])
    seeds += towards_fastest(context, seeds[0])
    strategy = make_strategy(
        "nsga2", context.space, problem, population=config.population, seed=config.seed, seeds=seeds
    )
    path = context.path / "evaluated.json"
    if path.exists():
        strategy.restore(load_trials(path, strategy.identity))
        context.run.log(f"going on after generation {strategy.history.generations}")
    evaluator = context.evaluator
    export = OptunaExport(context.path / "study.db", context.space, problem, context.run.log.warn)
    generations = context.plan["generations"]
    with context.run.progress("front", generations) as bar:
        bar.advance(strategy.history.generations)

        def on_generation(_: Sequence[Trial]) -> None:
            save_trials(path, strategy.history, strategy.identity)
            export.update(strategy.history.trials)
            bar.advance(1)

        ended = run(strategy, evaluator, generations, on_generation=on_generation)
    export.update(strategy.history.trials)  # a kill may have come between a generation and its copy
    history = strategy.history
    volumes = history.hypervolumes()
    front = history.front(["val_accuracy", "latency_ms"])
    context.run.log(
        f"front: {len(history.trials)} architectures evaluated ({ended}), "
        f"{len(history.front())} on the front, "
        f"hypervolume {volumes[0]['value']:.4f} -> {volumes[-1]['value']:.4f}"
    )
    result = {
        "front": [r.arch for r in history.front()],
        "front_latency": [r.arch for r in front],
        "rows": [
            {
                "arch": r.arch,
                "generation": r.generation,
                "origin": r.origin,
                "feasible": r.feasible,
                **r.metrics,
            }
            for r in history.trials
        ],
        "hypervolume": volumes,
        "ended": ended,
    }
    return Outcome(result, ("evaluated.json",))
