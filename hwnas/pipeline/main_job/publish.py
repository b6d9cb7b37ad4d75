"""The last stage: front.json and front.csv, the Pareto set with its measured values, and report.html."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from hwnas.core.position import Position
from hwnas.pipeline.counts import objectives_of
from hwnas.pipeline.stages import Outcome
from hwnas.report import write_report
from hwnas.runs.front_file import BEST, FRONT_CSV, FRONT_JSON, MISTAKES_JSON, FrontPoint
from hwnas.runs.verdict import verdict
from hwnas.tasks import CLASSIFICATION, Task, outward
from targets.files import write_atomic, write_json

from .candidate import Candidate
from .continuation import EARLIER
from .growth import grows, growth_facts
from .mistakes import chosen_scores, columns_facts, write_mistakes
from .operation_worth import operation_worth
from .replan import longer_epochs
from .run_context import RunContext
from .training import finalist
from .verdict_facts import data_facts, largest_costs, training_facts

SCHEMA = 1

_SURROGATE = ("expected_error", "expected_deviation", "estimated_error", "estimated_low", "estimated_high")
"""What the surrogate of the search believed of an architecture."""


def publish(context: RunContext) -> Outcome:
    """Write front.json, front.csv and report.html."""
    points = all_points(context)
    chosen = context.result("evaluation")["chosen"]
    scores = chosen_scores(context, points, chosen)
    document = {**front_document(context, points), "by_column": columns_facts(context, scores)}
    findings = verdict(document)
    document = {**document, "verdict": [f.to_json() for f in findings]}
    task = context.data.task
    write_json(context.path / FRONT_JSON, outward(document, task))
    write_atomic(context.path / FRONT_CSV, front_csv(points, task))
    if scores:
        write_mistakes(context, scores["test"], chosen)
    extra = (MISTAKES_JSON,) if scores else ()
    point_at(context.path / "models", chosen)
    for finding in findings:
        if finding.level != "good":
            context.run.log.warn(f"{finding.sentence} {finding.advice}".rstrip())
    report = write_report(context.path)
    context.run.log(f"report: {report}")
    # Not the page, which `hwnas report` may write again.
    return Outcome({"report": report.name}, (FRONT_JSON, FRONT_CSV, *extra))


def point_at(models: Path, chosen: str) -> None:
    """`models/best` leads to the chosen network: a link, or a copy where there can be no links."""
    best = models / BEST
    if best.is_symlink() or best.is_file():
        best.unlink()
    elif best.is_dir():
        shutil.rmtree(best)
    try:
        best.symlink_to(chosen, target_is_directory=True)
    except (OSError, NotImplementedError):
        shutil.copytree(models / chosen, best)


def all_points(context: RunContext) -> list[FrontPoint]:
    """The trained networks, those that failed, and the candidates that were measured only."""
    evaluation = context.result("evaluation")
    done = [FrontPoint.from_json(entry) for entry in [*evaluation["models"], *evaluation["failed"]]]
    done = [replace(point, measured=with_repeats(context, point)) for point in done]
    known = {point.arch_id for point in done}
    for entry in context.result("candidates")["candidates"]:
        candidate = Candidate.from_json(entry)
        arch_id = finalist(context, candidate).arch_id
        if arch_id not in known:
            done.append(candidate.point(arch_id, feasible=bool(candidate.inside)))
    return done


def with_repeats(context: RunContext, point: FrontPoint) -> Mapping[str, Any] | None:
    """What was measured of a point, of the chosen one also over splits drawn anew."""
    repeats = context.result("repeats")
    if point.measured is None or repeats.get("arch_id") != point.arch_id:
        return point.measured
    return {
        **point.measured,
        "repeats": repeats["k"],
        "repeated_accuracy": repeats["mean"],
        "repeated_accuracy_low": repeats["low"],
        "repeated_accuracy_high": repeats["high"],
    }


def front_document(context: RunContext, points: Sequence[FrontPoint]) -> dict[str, Any]:
    """All that the report shows, as JSON."""
    front, table = context.result("front"), context.table
    evaluation = context.result("evaluation")
    return {
        "schema": SCHEMA,
        "target": {
            **context.device.described,
            "context_hash": context.device.context["hash"],
            "facts": dict(context.device.facts),
        },
        "targets": [device.to_json() for device in context.devices],
        "space": context.space.spec(),
        "budgets": [{"metric": b.metric, "limit": b.limit} for b in context.budgets],
        "default_budget": not context.config.budgets,
        "objectives": list(objectives_of(context.config, [d.name for d in context.devices])),
        "evaluator": front["evaluator"],
        "store": None if grows(context) else front["store"],
        "strategy": front["strategy"],
        "counts": _counts(context),
        "task": context.data.task.name,
        "data": data_facts(context),
        "largest": largest_costs(context),
        "training": training_facts(context, evaluation["chosen"]),
        "points": [point.to_json() for point in points],
        "chosen": evaluation["chosen"],
        "continued_from": context.config.continue_from,
        **(
            {"growth": growth_facts(context, context.result(EARLIER)["scores"], points)}
            if grows(context)
            else {}
        ),
        "hypervolume": front["hypervolume"],
        "rank_correlation": rank_correlation(evaluation["models"]),
        "proxies": front.get("proxies"),
        "svc_test_accuracy": evaluation["svc_test_accuracy"],
        "linear_test_accuracy": evaluation["linear_test_accuracy"],
        "repeats": context.result("repeats") or None,
        "pixel_models": [model for model in (evaluation["svc"], evaluation["linear"]) if model],
        "table": {**table["errors"], "margin": table["margin"], "profile_cpu_s": table["profile_cpu_s"]},
        "evaluated": [
            {
                "arch_id": context.space.arch_id(context.space.from_string(r["arch"])),
                "arch": r["arch"],
                "val_accuracy_search": r.get("val_accuracy"),
                "latency_ms": r.get("latency_ms"),
                "generation": r["generation"],
                "origin": r["origin"],
                "feasible": r["feasible"],
                **({"stale": True} if grows(context) else {}),
                **{name: r[name] for name in _SURROGATE if name in r},
            }
            for r in front["rows"]
        ],
        "option_cost": option_costs(context),
        "operation_worth": operation_worth(context.space, front["rows"]),
    }


def _counts(context: RunContext) -> dict[str, int]:
    """How much of everything was done; epochs that networks trained on for are some of the final ones."""
    counts = context.counts
    return replace(counts, train_epochs=counts.train_epochs + longer_epochs(context)).to_json()


def front_csv(points: Sequence[FrontPoint], task: Task = CLASSIFICATION) -> str:
    """One row per point."""
    buffer = io.StringIO()
    rows = [outward(point.row(), task) for point in points]
    pd.DataFrame(rows).to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue()


def rank_correlation(models: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Spearman of shared-weight accuracy, and of #params, with the validation accuracy after training."""
    rows = [m for m in models if m["predicted"].get("val_accuracy_search") is not None]
    if len(rows) < 3:
        return {"search_vs_trained": None, "params_vs_trained": None, "n": len(rows)}
    trained = [m["measured"]["val_accuracy"] for m in rows]

    def rho(values: list[float]) -> float | None:
        if len(set(values)) < 2 or len(set(trained)) < 2:
            return None
        return float(spearmanr(values, trained).statistic)

    return {
        "search_vs_trained": rho([m["predicted"]["val_accuracy_search"] for m in rows]),
        "params_vs_trained": rho([m["predicted"]["params"] for m in rows]),
        "n": len(rows),
    }


def option_costs(context: RunContext) -> list[dict[str, Any]]:
    """What each operation of each layer or edge costs, and its share on the front.

    Mean over the widths, sum over the cells that one choice rules.
    """
    space = context.space
    if "blocks_ms" not in context.table:
        return []
    front = context.archs(context.result("front")["front"])
    blocks_ms = context.table["blocks_ms"]
    widths = {c for position in space.positions for c in position.choices[:-1]}
    ruled: dict[int, list[Position]] = {}
    for position in space.positions:
        if position.choices and position.choices[-1] not in widths:
            ruled.setdefault(position.choices[-1], []).append(position)
    out = []
    for choice, positions in ruled.items():
        for k, option in enumerate(space.choices[choice].options):
            share = sum(a[choice] == k for a in front) / max(1, len(front))
            out.append(
                {
                    "layer": space.choices[choice].name,
                    "option": option,
                    "latency_ms": sum(_mean_ms(p, k, blocks_ms) for p in positions),
                    "chosen_share": share,
                }
            )
    return out


def _mean_ms(position: Position, option: int, blocks_ms: dict[str, float]) -> float:
    keys = [key for key in np.atleast_1d(position.keys[..., option]).ravel() if key is not None]
    return float(np.mean([blocks_ms[key] for key in keys])) if keys else 0.0
