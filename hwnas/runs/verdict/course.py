"""How the run went: its budgets, its trainings, its measurements, its search."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from hwnas.core.budget import base_metric
from hwnas.core.words import counted, number, percent
from hwnas.runs.front_file import BASELINES

from .finding import MOST_NAMED, Finding
from .records import Records

OUTSIDE = "outside_budget"
"""Code of the finding that nothing keeps the budgets: the search then ends as infeasible."""

LEAST_STEPS = 300
"""Optimiser steps below which a training says little about a network."""

STILL_FALLING = 0.1
"""Share of the training loss that the last quarter of a training takes off where it was cut short."""

LEARNED = 0.9
"""Training accuracy from which a falling loss is no reason to go on."""

FEWEST_RANKED = 5
"""Networks whose order says something."""

LOW_RHO, HIGH_RHO = 0.3, 0.6

_NAMES = {"svc": "the SVC on pixels", "linear": "the linear model on pixels"}
_UNITS = {"latency_ms": " ms", "size_mb": " MB", "peak_memory_mb": " MB", "energy_mj": " mJ"}


def within_budgets(records: Records) -> Iterator[Finding]:
    """Does the chosen network keep the budgets?"""
    best = records.chosen
    if best is None or best.feasible:
        return
    budgets = ", ".join(
        f"{b.get('metric')} <= {b.get('limit'):g}" for b in records.front.get("budgets") or []
    )
    yield Finding(
        "bad",
        OUTSIDE,
        f"No trained network is inside the budgets as measured ({budgets}); the one shown is the fastest, "
        f"with {best.latency_ms:.3g} ms.",
        "Measure it again on a quiet device (`hwnas bench`), or search again with a higher budget.",
    )


def long_enough(records: Records) -> Iterator[Finding]:
    """Was the training long enough?"""
    training = records.part("training")
    steps, epochs = number(training.get("steps")), number(training.get("epochs"))
    if steps is None or not epochs:
        return
    work = f"{counted(round(epochs), 'epoch')} × {counted(round(steps / epochs), 'step')}"
    falls, learned = number(training.get("last_quarter_fall")), number(training.get("train_accuracy"))
    if steps < LEAST_STEPS:
        yield Finding(
            "warn",
            "trained_too_short",
            f"The networks were trained for {counted(round(steps), 'optimiser step')} ({work}): too few to "
            "judge them.",
            f"Train at least {math.ceil(LEAST_STEPS * epochs / steps)} epochs: --train-epochs, or more "
            "--minutes.",
        )
    elif falls is not None and learned is not None and falls > STILL_FALLING and learned < LEARNED:
        yield Finding(
            "warn",
            "still_improving",
            f"The chosen network was still learning when its training ended ({work}): the last quarter took "
            f"{100 * falls:.0f} % off its loss, and it {_knows(records, learned)}.",
            f"Train longer: `hwnas search --continue-from RUN --train-epochs {math.ceil(epochs)}`.",
        )


def _knows(records: Records, learned: float) -> str:
    if records.metric.counted:
        return f"knows {percent(learned)} of its training images"
    return f"had {percent(learned)} right of what it was trained on"


def budgets_bind(records: Records) -> Iterator[Finding]:
    """Does the budget exclude anything?"""
    largest = records.part("largest")
    for budget in records.front.get("budgets") or []:
        metric, limit = str(budget.get("metric")), number(budget.get("limit"))
        need = number(largest.get(metric))
        if limit is None or not need or limit < need:
            continue
        unit = _UNITS.get(base_metric(metric), "")
        yield Finding(
            "warn",
            "budget_does_not_bind",
            f"The budget {metric} <= {limit:g}{unit} excludes nothing: it is {_times(limit / need)} times "
            f"what the largest network of the space needs ({need:.3g}{unit}).",
            f"There is room for more {records.metric.label}: try a larger --image-size or --width-mult, or a "
            "lower budget.",
        )


def _times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:,.0f}"


def failures(records: Records) -> Iterator[Finding]:
    """What failed, and why?"""
    failed = [
        (str(p.get("arch_id")), str(p["failure"]), p.get("origin"))
        for p in records.points
        if p.get("failure")
    ]
    models = [
        m for m in records.front.get("pixel_models") or [] if isinstance(m, Mapping) and m.get("failure")
    ]
    failed += [
        (_NAMES.get(str(m.get("name")), str(m.get("name"))), str(m["failure"]), "pixels") for m in models
    ]
    for name, reason, origin in failed:
        is_baseline = origin in (*BASELINES, "pixels")
        yield Finding(
            "warn",
            "baseline_failed" if is_baseline else "network_failed",
            f"{'The baseline ' if origin in BASELINES else ''}{name} failed: {reason.rstrip('.')}.",
            "Nothing is compared with it." if is_baseline else "It is no part of the front.",
        )


def quiet_device(records: Records) -> Iterator[Finding]:
    """Were the latencies measured on a quiet device?"""
    points = [p for p in records.points if isinstance(p.get("measured"), Mapping)]
    trained = [p for p in points if number(p["measured"].get("test_accuracy")) is not None]
    others = [p for p in points if p not in trained]
    bad, bad_others = ([p for p in group if _is_unstable(p["measured"])] for group in (trained, others))
    counted = []
    if bad:
        names = [str(p.get("arch_id")) for p in bad]
        named = ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")
        counted.append(f"{len(bad)} of {len(trained)} trained networks ({named})")
    if bad_others:
        counted.append(
            f"{len(bad_others)} of {len(others)} candidates that were measured and not trained "
            "(front.csv has them)"
        )
    if not counted:
        return
    rows = [p["measured"] for p in (*bad, *bad_others)]
    reasons = sorted({str(row[key]) for row in rows for key in row if _is("flag_reason", key) and row[key]})
    yield Finding(
        "warn",
        "measurements_unstable",
        f"The latency of {' and of '.join(counted)} is not known to a few percent"
        + (f": {'; '.join(reasons[:3])}." if reasons else ": the device was busy."),
        "Measure again on a quiet device: `hwnas bench models/*/model.onnx`.",
    )


def _is_unstable(measured: Mapping[str, Any]) -> bool:
    return any(_is("flag", key) and flag == "unstable" for key, flag in measured.items())


def _is(name: str, key: str) -> bool:
    """Whether a column is of this name, on any device: those of further ones end in `@NAME`."""
    return key.partition("@")[0] == name


def foreseen(records: Records) -> Iterator[Finding]:
    """Did the search foresee the trained accuracy?"""
    ranks = records.part("rank_correlation")
    rho = number(ranks.get("search_vs_trained", ranks.get("shared_vs_trained")))
    n = number(ranks.get("n"))
    if rho is None or n is None or n < FEWEST_RANKED or LOW_RHO <= rho < HIGH_RHO:
        return
    told = (
        f"rank correlation {rho:.2f} of its {records.metric.label} with the trained one, over {n:g} networks"
    )
    if rho < LOW_RHO:
        yield Finding(
            "warn",
            "ranking_weak",
            f"The search did not foresee which networks train well ({told}).",
            "Raise --eval-epochs or --evaluations; take the chosen network by its measured "
            f"{records.metric.label} alone.",
        )
    else:
        yield Finding("good", "ranking_good", f"The search foresaw which networks train well ({told}).")
