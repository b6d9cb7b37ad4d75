"""The front measured on the target, and the picks chosen among what is measured inside the budgets.

Wrong predictions cost accuracy and hypervolume, and measuring only the selected networks repairs most
of it (Laube et al. 2022), so nothing is picked that was not measured inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from hwnas.core.budget import feasible
from hwnas.front import choose_picks
from hwnas.pipeline import networks
from hwnas.pipeline.stages import Outcome
from targets.errors import InfeasibleError

from .candidate import Candidate
from .run_context import RunContext

N_CANDIDATES = 16


def measure_candidates(context: RunContext) -> Outcome:
    """The result lists the measured candidates and, among them, the picks with the reason for each."""
    rows = _rows_to_measure(context)
    archs = context.archs([row["arch"] for row in rows])
    files = {
        row["arch"]: networks.arch_onnx(context.space, arch, context.config.batch)
        for row, arch in zip(rows, archs, strict=True)
    }
    measurements = context.measure(files)
    candidates = []
    for row, costs in zip(rows, context.costs_of(archs), strict=True):
        measured = asdict(measurements[row["arch"]])
        inside = feasible(context.budgets, {**costs, "latency_ms": measured["p50_ms"]})
        candidates.append(Candidate(**row, predicted=costs, measured=measured, inside=inside))
    picks = _picks(context, candidates)
    n_inside = sum(bool(candidate.inside) for candidate in candidates)
    context.run.log(
        f"measured {len(candidates)} candidates, {n_inside} inside the budgets; "
        "picks: " + ", ".join(f"{p.pick} {p.measured['p50_ms']:.3g} ms" for p in picks)
    )
    return Outcome({"candidates": [c.to_json() for c in candidates], "picks": [p.to_json() for p in picks]})


def _rows_to_measure(context: RunContext) -> list[dict[str, Any]]:
    """The gradient search's own architecture, and a spread of the front over log latency."""
    by_arch = {r["arch"]: r for r in context.result("front")["rows"] if "val_accuracy" in r}
    decoded = [seed["arch"] for seed in context.result("gradient").get("seeds", [])]
    own = decoded[0] if decoded else None
    front = [by_arch[a] for a in context.result("front")["front_latency"]]
    if not front:
        raise InfeasibleError(
            f"no evaluated architecture meets {', '.join(map(str, context.search_budgets))}; "
            f"raise the budgets or --evaluations"
        )
    chosen = choose_picks(
        [r["latency_ms"] for r in front], [_accuracy(r) for r in front], min(N_CANDIDATES, len(front))
    )
    firsts = [own] if own in by_arch else []  # its evaluation may have failed
    archs = list(dict.fromkeys([*firsts, *(front[p.index]["arch"] for p in chosen)]))
    if len(archs) < N_CANDIDATES:  # a short front leaves room for the next fronts
        feasible_rows = [r for r in by_arch.values() if r["feasible"]]
        more = choose_picks(
            [r["latency_ms"] for r in feasible_rows],
            [_accuracy(r) for r in feasible_rows],
            min(N_CANDIDATES, len(feasible_rows)),
        )
        archs = list(dict.fromkeys([*archs, *(feasible_rows[p.index]["arch"] for p in more)]))[:N_CANDIDATES]
    return [
        {
            "arch": a,
            "origin": "gradient" if a == own else "front",
            "val_accuracy_search": _accuracy(by_arch[a]),
        }
        for a in archs
    ]


def _accuracy(row: Mapping[str, Any]) -> float:
    """By the surrogate where there is one: of many noisy accuracies the best one is too good to be true."""
    return float(1 - row["estimated_error"] if "estimated_error" in row else row["val_accuracy"])


def _picks(context: RunContext, candidates: list[Candidate]) -> list[Candidate]:
    inside = [c for c in candidates if c.inside]
    if not inside:
        fastest = min(candidates, key=lambda c: c.measured["p50_ms"])
        raise InfeasibleError(
            f"none of {len(candidates)} measured candidates is inside "
            f"{', '.join(map(str, context.budgets))}; "
            f"the fastest is {fastest.arch}, {fastest.measured['p50_ms']:.4g} ms"
        )
    # By predicted latency, so that noise cannot change which of the networks inside are picked.
    latency_ms = [c.predicted["latency_ms"] for c in inside]
    accuracy = [c.val_accuracy_search or 0.0 for c in inside]
    chosen = choose_picks(latency_ms, accuracy, min(context.plan["picks"], len(inside)))
    picks = [replace(inside[p.index], pick=p.why) for p in chosen]
    decoded = next((c for c in inside if c.origin == "gradient"), None)
    if decoded is not None and decoded.arch not in {p.arch for p in picks}:
        picks.append(replace(decoded, pick="gradient"))
    return sorted(picks, key=lambda p: float(p.predicted["latency_ms"]))
