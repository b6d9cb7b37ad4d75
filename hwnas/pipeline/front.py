"""Stage 6: the Pareto front by NSGA-II over shared weights and the tables, seeded by the gradient search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwnas.core.choice import Arch
from hwnas.front import Goals, Row, StudyMirror, load_rows, nsga2, run, save_rows

from .networks import towards
from .work import Outcome, Work

OBJECTIVES = ("val_accuracy", "latency_ms", "macs", "peak_memory_mb")


N_BETWEEN = 5
"""Architectures of the first generation between the gradient search's own and the fastest."""


def make_goals(work: Work) -> Goals:
    """The objectives, and the budgets tightened by the table's error."""
    return Goals.parse(OBJECTIVES, work.search_budgets)


def towards_fastest(work: Work, arch: Arch) -> list[Arch]:
    """The fastest architecture of the space, and random ones between it and `arch`.

    Random architectures crowd around the median latency; without these the front has no fast end.
    """
    rng = np.random.default_rng([work.config.seed, 0xFA57])
    fastest = work.costs.minimum("latency_ms")[1]
    return [fastest, *(towards(work.space, arch, fastest, rng) for _ in range(N_BETWEEN))]


def search_front(work: Work) -> Outcome:
    """Write evaluated.json, generation by generation, and study.db, its copy for Optuna's tools."""
    config, goals = work.config, make_goals(work)
    seeds = work.archs([row["arch"] for row in work.result("gradient")["seeds"]])
    seeds += towards_fastest(work, seeds[0])
    strategy = nsga2(work.space, goals, population=config.population, seed=config.seed, seeds=seeds)
    path = work.path / "evaluated.json"
    if path.exists():
        strategy.restore(load_rows(path, strategy.question))
        work.run.log(f"going on after generation {strategy.ledger.generations}")
    evaluator = work.evaluator
    mirror = StudyMirror(work.path / "study.db", work.space, goals, work.run.log.warn)
    generations = work.plan["generations"]
    with work.run.progress("front", generations) as bar:
        bar.advance(strategy.ledger.generations)

        def on_generation(rows: Sequence[Row]) -> None:
            save_rows(path, strategy.ledger, strategy.question)
            mirror.update(strategy.ledger.rows)
            bar.advance(1)

        ended = run(strategy, evaluator, generations, on_generation=on_generation)
    mirror.update(strategy.ledger.rows)  # a kill may have come between a generation and its copy
    ledger = strategy.ledger
    volumes = ledger.hypervolumes()
    front = ledger.front(["val_accuracy", "latency_ms"])
    work.run.log(
        f"front: {len(ledger.rows)} architectures evaluated ({ended}), {len(ledger.front())} on the front, "
        f"hypervolume {volumes[0]['value']:.4f} -> {volumes[-1]['value']:.4f}"
    )
    result = {
        "front": [r.arch for r in ledger.front()],
        "front_latency": [r.arch for r in front],
        "rows": [
            {
                "arch": r.arch,
                "generation": r.generation,
                "origin": r.origin,
                "feasible": r.feasible,
                **r.metrics,
            }
            for r in ledger.rows
        ],
        "hypervolume": volumes,
        "ended": ended,
    }
    return Outcome(result, ("evaluated.json",))
