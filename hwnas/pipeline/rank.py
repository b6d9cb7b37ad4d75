"""The front of another device from a finished search: known accuracies, latencies by its table, no training.

Accuracies are compared as the evaluator of the search saw them, because these are of equal training; those of
networks that were trained to the end stand beside them. A latency by a table is uncertain by the table's
margin, so a network whose interval crosses a budget is `unsure` until it is measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lut
from hwnas.core.budget import LATENCY, Budget
from hwnas.front.pareto import non_dominated
from hwnas.runs.log import Log
from targets.errors import InfeasibleError, UsageError, did_you_mean

from .latency_tables import find_device, latency_table

if TYPE_CHECKING:
    from hwnas.costs.cost_model import CostModel

    from .finished_run import KnownNetwork

INSIDE, OUTSIDE, UNSURE = "yes", "no", "unsure"


def rank(
    path: Path,
    target: str,
    budgets: Sequence[str] = (),
    *,
    home: Path,
    minutes: float | None = None,
    log: Log,
) -> dict[str, Any]:
    """The document of `hwnas rank`.

    path: of the run. target: a device as `find_device` reads it. budgets: as `latency_ms<=12`; the device
    may be named. minutes: of profiling where no table fits.
    InfeasibleError where nothing known is inside the budgets.
    """
    device = find_device(target, home)
    limits = [Budget.parse(text).on_devices([device.name]) for text in budgets]

    # Here, so that a wrong target or budget is told before torch is loaded.
    from hwnas.costs.cost_model import CostModel
    from hwnas.gradient.decode import require_reachable

    from .finished_run import FinishedRun

    run = FinishedRun.read(path)
    table, _ = latency_table(
        run.space,
        device,
        home=home,
        minutes=minutes,
        seed=int(run.options.get("seed", 0)),
        log=log,
        batch=int(run.options.get("batch", 1)),
    )
    costs = CostModel(run.space, table)
    _require_known(limits, costs)
    require_reachable(run.space, costs, limits)
    networks = run.networks(home)
    rows = _rows(networks, costs, limits, table.margin, run.front["evaluator"])
    front = _front(rows)
    if not front:
        raise _none_inside(rows, limits, device.title)
    return {
        "run": str(path),
        "target": device.title,
        "searched_for": run.front["target"]["name"],
        "space": run.front["space"],
        "task": run.task.name,
        "evaluator": run.front["evaluator"],
        "validation_images": run.n_validation,
        "budgets": [{"metric": b.metric, "limit": b.limit} for b in limits],
        "table": _table(table),
        "networks_known": len(rows),
        "chosen": _chosen(rows),
        "front": front,
        "networks": rows,
    }


def _require_known(budgets: Sequence[Budget], costs: CostModel) -> None:
    for b in budgets:
        if b.metric not in costs.metrics:
            raise UsageError(f"budget {b}: there is no table of it; {did_you_mean(b.metric, costs.metrics)}")


def _rows(
    networks: Sequence[KnownNetwork],
    costs: CostModel,
    budgets: Sequence[Budget],
    margin: float,
    evaluator: str,
) -> list[dict[str, Any]]:
    """One per network, the fastest first."""
    space = costs.space
    values = costs.of([space.from_string(n.arch) for n in networks]) if networks else {}
    rows = []
    for i, network in enumerate(networks):
        of_network = {metric: float(column[i]) for metric, column in values.items()}
        rows.append({**_row(network, of_network, budgets, margin), "kind": _kind(network, evaluator)})
    return sorted(rows, key=lambda row: float(row[LATENCY]))


def _row(
    network: KnownNetwork, costs: Mapping[str, float], budgets: Sequence[Budget], margin: float
) -> dict[str, Any]:
    point = network.trained
    measured: Mapping[str, Any] = (point.measured if point else None) or {}
    low, high = costs[LATENCY] / (1 + margin), costs[LATENCY] * (1 + margin)
    return {
        "network": network.arch_id,
        "val_accuracy_search": network.val_accuracy,
        "val_accuracy": measured.get("val_accuracy"),
        "test_accuracy": measured.get("test_accuracy"),
        **costs,
        "latency_low_ms": low,
        "latency_high_ms": high,
        "searched_latency_ms": measured.get("latency_p50_ms"),
        "in_budget": _inside(costs, low, high, budgets),
        "source": network.source,
        "arch": network.arch,
    }


def _kind(network: KnownNetwork, evaluator: str) -> str:
    """How its accuracy is known: trained to the end (and as what), or only by the evaluator of the search."""
    if network.trained is not None:
        return f"trained {network.trained.pick or network.trained.origin}"
    return evaluator.replace("-", " ")


def _inside(costs: Mapping[str, float], low: float, high: float, budgets: Sequence[Budget]) -> str:
    """Whether the budgets are kept; `UNSURE` where only the error of the table decides."""
    fastest, slowest = {**costs, LATENCY: low}, {**costs, LATENCY: high}
    if any(b.violation(fastest) > 0 for b in budgets):
        return OUTSIDE
    return INSIDE if all(b.violation(slowest) <= 0 for b in budgets) else UNSURE


def _front(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows inside the budgets, or perhaps inside, that no other beats in latency and accuracy."""
    inside = [row for row in rows if row["in_budget"] != OUTSIDE]
    keep = non_dominated([[row[LATENCY], -row["val_accuracy_search"]] for row in inside]) if inside else ()
    return [row for row, kept in zip(inside, keep, strict=True) if kept]


def _chosen(rows: Sequence[dict[str, Any]]) -> str | None:
    """The trained network surely inside that is the most accurate on validation; None where there is none."""
    trained = [r for r in rows if r["val_accuracy"] is not None and r["in_budget"] == INSIDE]
    best = max(trained, key=lambda r: (r["val_accuracy"], -r[LATENCY]), default=None)
    return None if best is None else str(best["network"])


def _none_inside(rows: Sequence[dict[str, Any]], budgets: Sequence[Budget], device: str) -> InfeasibleError:
    limits = ", ".join(map(str, budgets))
    if not rows:
        return InfeasibleError("the run holds no architecture with a known accuracy")
    nearest = min(rows, key=lambda row: max(b.violation(row) for b in budgets))
    values = ", ".join(f"{b.metric} {nearest[b.metric]:.4g}" for b in budgets)
    return InfeasibleError(
        f"none of the {len(rows)} known architectures is inside {limits} on {device}; the nearest is "
        f"{nearest['network']} with {values}. Raise the budgets, or search for this device: what is known "
        "is not trained again"
    )


def _table(table: lut.SpaceTable) -> dict[str, Any]:
    return {
        "context": table.context.to_json(),
        "date": table.date,
        "errors": dict(table.errors),
        "margin": table.margin,
    }
