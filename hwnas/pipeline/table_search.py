"""A search of a table of known results: the same strategies, no network, and a clock that is simulated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.core.budget import METRICS, base_metric
from hwnas.front import STRATEGIES, Generational, Problem, make_strategy
from hwnas.runs.config import SearchConfig, option_name
from hwnas.runs.identity import TABLE_SEARCH, Identity
from hwnas.runs.log import Log
from hwnas.runs.run_dir import RunDir
from hwnas.runs.stages import StageRecords
from hwnas.spaces.table import ResultsTable, load_fidelities, load_table
from targets.errors import InfeasibleError, UsageError
from targets.files import safe_name, write_atomic

from .stages import Outcome, RunStage, run_stages
from .stored_search import TRIALS, search_stored

EVALUATIONS = 100
"""Unless told."""
BATCH = {"bo": 5}
"""Architectures at a time, unless told; 20 of other strategies."""
USED = (
    "space", "objectives", "prefer", "strategy", "strategy_options", "budgets", "evaluations", "population",
    "generations", "seed",
)  # fmt: skip
"""The options of a search of a table."""
FRONT, CURVE = "front.csv", "curve.csv"


@dataclass(frozen=True, kw_only=True)
class TableSearchContext:
    """What the stages of a search of a table share.

    tables: one per fidelity of the strategy, the whole one last. n: evaluations.
    """

    run: RunDir
    tables: Sequence[ResultsTable]
    problem: Problem
    strategy: Generational
    n: int

    @property
    def table(self) -> ResultsTable:
        """The whole one."""
        return self.tables[-1]


def require_used(given: Iterable[str]) -> None:
    """UsageError for options of `hwnas search` that a search of a table has no use for. given: fields."""
    if unused := [option_name(name) for name in given if name not in USED]:
        raise UsageError(
            f"a search of a table trains and measures nothing and has no use for {', '.join(unused)}; it "
            f"takes {', '.join(map(option_name, USED))}"
        )


def search_table(file: str, config: SearchConfig, path: Path | None, log: Log) -> Path:
    """Search a table, or go on; returns the run directory. file: as `load_table` reads it."""
    name = config.strategy or "bo"
    tables, prices = [load_table(file)], [1.0]
    if STRATEGIES[name].several_fidelities:
        tables, prices = load_fidelities(file)
    table = tables[-1]
    # The largest cost of the table ends the hypervolume, so that those of two strategies can be compared.
    objectives = config.objectives or table.objectives
    for metric in objectives:
        table.require(metric)
    costs = [m for m in objectives if base_metric(m) in METRICS]
    worst = {m: float(table.metrics[m].max()) for m in costs}
    problem = Problem.parse(objectives, config.budgets, worst, config.prefer)
    for budget in problem.budgets:
        table.require(budget.metric)
    population = config.population or BATCH.get(name, 20)
    n = config.evaluations or (config.generations or 0) * population or EVALUATIONS
    values: dict[str, Any] = {
        "space": table.space.name,
        "table": table.checksum,
        "strategy": name,
        "options": STRATEGIES[name].read_options(config.strategy_options),
        "objectives": list(objectives),
        **({"prefer": config.prefer} if config.prefer else {}),
        "budgets": list(map(str, problem.budgets)),
        "population": population,
        "evaluations": n,
        "seed": config.seed,
    }
    strategy = make_strategy(
        name,
        table.space,
        problem,
        population=min(population, n),
        seed=config.seed,
        costs_of=table.costs_of,
        prices=prices if len(tables) > 1 else (1,),
        **values["options"],
    )
    if warning := STRATEGIES[name].too_few(values["options"], n):
        log.warn(warning)
    identity = Identity(kind=TABLE_SEARCH, values=values)
    where = path or identity.default_folder(f"{name}-{safe_name(Path(file).stem)}")
    with RunDir.enter(where, identity, log=log) as run:
        context = TableSearchContext(run=run, tables=tables, problem=problem, strategy=strategy, n=n)
        run_stages(STAGES, context)
    return where


def read_table_search(path: Path) -> dict[str, Any]:
    """The result of a finished search of a table."""
    return dict(StageRecords(path).read("search") or {})


def _search(context: TableSearchContext) -> Outcome:
    """Write evaluated.json generation by generation; then front.csv, and curve.csv with the clock."""
    run, strategy = context.run, context.strategy
    history = search_stored(run, strategy, context.tables, context.n)
    curve = _curve(context)
    front = [{"arch": t.arch, "evaluation": t.number + 1, **t.metrics} for t in history.front()]
    if history.trials and not history.complete:
        raise InfeasibleError(
            f"{context.n} evaluations end before one is whole; give more --evaluations, or shorter brackets "
            f"(--strategy-option width=9)"
        )
    if not front:
        raise InfeasibleError(
            f"none of {len(history.complete) or context.table.space.size} architectures keeps "
            f"{', '.join(map(str, context.problem.budgets))}; loosen the budgets"
        )
    front.sort(key=lambda row: tuple(row[o.metric] for o in context.problem.objectives))
    _write_csv(run.path / FRONT, front)
    _write_csv(run.path / CURVE, curve)
    result = {"strategy": strategy.name, "front": front, **curve[-1]}
    return Outcome(result, (TRIALS, FRONT, CURVE))


def _curve(context: TableSearchContext) -> list[dict[str, float]]:
    """Per generation: evaluations, simulated seconds, hypervolume, and the best of each objective."""
    history, table = context.strategy.history, context.table
    rows: list[dict[str, float]] = []
    seconds, best = 0.0, dict[str, float]()
    for row in history.hypervolumes():
        new = history.of_generation(int(row["generation"]))
        for trial in new:
            seconds += context.tables[trial.fidelity].seconds_of([table.space.from_string(trial.arch)])
        for objective in context.problem.objectives:
            complete = [t for t in new if t.fidelity == len(context.tables) - 1]
            values = [t.metrics[objective.metric] for t in complete if t.feasible]
            known = [best[objective.metric]] if objective.metric in best else []
            if values or known:
                best[objective.metric] = (max if objective.maximise else min)([*values, *known])
        rows.append(
            {
                "evaluations": row["evaluated"],
                "simulated_s": seconds,
                "hypervolume": row["value"],
                **{f"best_{metric}": value for metric, value in best.items()},
            }
        )
    return rows


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    import pandas as pd

    write_atomic(path, pd.DataFrame(list(rows)).to_csv(index=False, lineterminator="\n"))


STAGES: tuple[RunStage[TableSearchContext], ...] = (
    RunStage(name="search", does="search the table", work=_search),
)
"""One: nothing is trained."""
