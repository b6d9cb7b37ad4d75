"""The front measured on the target, and the picks chosen among what is measured inside the budgets.

Wrong predictions cost accuracy and hypervolume, and measuring only the selected networks repairs most
of it (Laube et al. 2022), so nothing is picked that was not measured inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from hwnas.core.budget import feasible
from hwnas.front import Pick, choose_picks, pick_reasons
from hwnas.pipeline import networks
from hwnas.pipeline.counts import needs_latency
from hwnas.pipeline.stages import Outcome
from targets.errors import InfeasibleError

from .candidate import Candidate
from .devices import pooled, undecided, with_measured
from .replan import plan_finals
from .run_context import RunContext

AGAIN = 2
"""More measurements of what lies on a budget: an interval of three is 0.6 as wide."""

NINE_OF_TEN = 1.645
"""Standard deviations of a normal error that nine of ten stay below, as a table's margin is meant."""


def measure_candidates(context: RunContext) -> Outcome:
    """The result lists the measured candidates and, among them, the picks with the reason for each."""
    plan_finals(context)
    rows = _rows_to_measure(context)
    archs = context.archs([row["arch"] for row in rows])
    files = {}
    with context.run.progress("export of candidates", len(rows)) as bar:
        for row, arch in zip(rows, archs, strict=True):
            files[row["arch"]] = networks.arch_onnx(context.space, arch, context.config.batch)
            bar.advance()
    costs = dict(zip(files, context.costs_of(archs), strict=True))
    by_latency = needs_latency(context.config)
    measured = settled(context, files, costs) if by_latency else {key: {} for key in files}
    candidates = []
    for row in rows:
        predicted, of_network = costs[row["arch"]], measured[row["arch"]]
        inside = feasible(context.budgets, with_measured(predicted, of_network))
        candidates.append(Candidate(**row, predicted=predicted, measured=of_network, inside=inside))
    picks = _picks(context, candidates)
    n_inside = sum(bool(candidate.inside) for candidate in candidates)
    did = "measured" if by_latency else "counted the costs of"
    context.run.log(
        f"{did} {len(candidates)} candidates, {n_inside} inside the budgets; "
        "picks: " + ", ".join(f"{p.pick} {_latencies(p)}".rstrip() for p in picks)
    )
    return Outcome({"candidates": [c.to_json() for c in candidates], "picks": [p.to_json() for p in picks]})


def settled(
    context: RunContext, files: Mapping[str, bytes], costs: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Measurements of which none crosses a budget by chance alone.

    A network whose interval crosses a budget is measured again, at most `AGAIN` times; all samples count.
    """
    measured = context.measure(files, costs)
    for _ in range(AGAIN):
        open_keys = [key for key in files if undecided(measured[key], context.budgets)]
        if not open_keys:
            break
        context.run.log(f"{len(open_keys)} candidates are measured again: their intervals cross a budget")
        again = context.measure({key: files[key] for key in open_keys}, costs)
        for key, rows in again.items():
            measured[key] = {metric: pooled(measured[key][metric], row) for metric, row in rows.items()}
    return measured


def _latencies(candidate: Candidate) -> str:
    return ", ".join(
        f"{row['p50_ms']:.3g} ms{metric.removeprefix('latency_ms')}"
        for metric, row in candidate.measured.items()
    )


def _rows_to_measure(context: RunContext) -> list[dict[str, Any]]:
    """The gradient search's own architecture, and what spans the front."""
    n = context.counts.n_candidates
    by_arch = {r["arch"]: r for r in context.result("front")["rows"] if "val_accuracy" in r}
    decoded = [seed["arch"] for seed in context.result("gradient").get("seeds", [])]
    own = decoded[0] if decoded else None
    front = [by_arch[a] for a in context.result("front")["front_latency"]]
    if not front:
        limits = ", ".join(map(str, context.search_budgets))
        raise InfeasibleError(
            f"no evaluated architecture meets {limits}; raise the budgets or --evaluations"
            if limits and by_arch
            else "no architecture was evaluated to its end; search anew with more --evaluations"
        )
    chosen = choose_picks(
        [context.burden(r) for r in front],
        [_accuracy(r) for r in front],
        min(n, len(front)),
        noise=_noise(context, [_accuracy(r) for r in front]),
        latency_noise=_latency_noise(context),
    )
    firsts = [own] if own in by_arch else []  # its evaluation may have failed
    archs = list(dict.fromkeys([*firsts, *(front[p.index]["arch"] for p in chosen)]))
    if len(archs) < n:  # a short front leaves room for the next fronts
        feasible_rows = [r for r in by_arch.values() if r["feasible"]]
        more = choose_picks(
            [context.burden(r) for r in feasible_rows],
            [_accuracy(r) for r in feasible_rows],
            min(n, len(feasible_rows)),
        )
        archs = list(dict.fromkeys([*archs, *(feasible_rows[p.index]["arch"] for p in more)]))[:n]
    return [
        {
            "arch": a,
            "origin": "gradient" if a == own else "front",
            "val_accuracy_search": float(by_arch[a]["val_accuracy"]),
            "val_accuracy_expected": _expected(by_arch[a]),
        }
        for a in archs
    ]


def _accuracy(row: Mapping[str, Any]) -> float:
    """By the surrogate where there is one: of many noisy accuracies the best one is too good to be true."""
    expected = _expected(row)
    return float(row["val_accuracy"]) if expected is None else expected


def _noise(context: RunContext, accuracy: Sequence[float]) -> float:
    """Standard error of the best accuracy by the number of validation images; 0 where it is no share of them.

    On `scenes` (1,065 images) it is 1.2 points, and so much does the accuracy after the final training
    deviate from a line in that of the search (60 picks of 8 runs).
    """
    if not context.data.task.metric.counted:
        return 0.0
    best = max(accuracy)
    return float(np.sqrt(best * (1 - best) / len(context.data.split("val"))))


def _latency_noise(context: RunContext) -> float:
    """Deviation of the logarithm of a latency by the table; 0 where MACs, which are exact, stand for it."""
    return max(device.margin for device in context.devices) / NINE_OF_TEN


def _expected(row: Mapping[str, Any]) -> float | None:
    return float(1 - row["estimated_error"]) if "estimated_error" in row else None


def _picks(context: RunContext, candidates: list[Candidate]) -> list[Candidate]:
    inside = [c for c in candidates if c.inside]
    if not inside:
        fastest = min(candidates, key=lambda c: context.burden(with_measured(c.predicted, c.measured)))
        raise InfeasibleError(
            f"none of {len(candidates)} measured candidates is inside "
            f"{', '.join(map(str, context.budgets))}; "
            f"the nearest is {fastest.arch}, {_latencies(fastest)}"
        )
    # By predicted latency, so that noise cannot change which of the networks inside are picked.
    latency_ms = [context.burden(c.predicted) for c in inside]
    accuracy = [c.val_accuracy_expected or c.val_accuracy_search or 0.0 for c in inside]
    n = min(context.counts.picks, len(inside))
    prefer, noise = context.config.prefer or "accuracy", _noise(context, accuracy)
    chosen = choose_picks(latency_ms, accuracy, n, prefer, noise, _latency_noise(context))
    decoded = next((i for i, c in enumerate(inside) if c.origin == "gradient"), None)
    if decoded is not None and decoded not in {p.index for p in chosen}:
        chosen.append(Pick(decoded, "gradient"))
    metric = context.data.task.metric
    reasons = pick_reasons(
        chosen,
        latency_ms,
        accuracy,
        len(context.data.split("val")) if metric.counted else None,
        partial(say_burden, context),
        metric.label,
    )
    picks = [replace(inside[p.index], pick=p.why, reason=why) for p, why in zip(chosen, reasons, strict=True)]
    return sorted(picks, key=lambda p: context.burden(p.predicted))


def say_burden(context: RunContext, burden: float) -> str:
    """What `RunContext.burden` gave, in words."""
    if context.burdens == ["macs"]:
        return f"{burden / 1e6:.3g} million MACs"
    if len(context.devices) == 1 or not any(b.metric in context.burdens for b in context.budgets):
        return f"{burden:.3g} ms by the table"
    return f"{100 * burden:.3g} % of the budget that it uses most"
