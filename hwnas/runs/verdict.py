"""What to think of a finished search, before any of its numbers: findings from the records in `front.json`.

Each finding is a plain sentence and what to do about it. A run at chance level, a budget that binds nothing
or a pick no better than a random network is said first: in the terminal, in `--json` and on the page.
What a run does not record (older runs record less) is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from hwnas.core.budget import base_metric
from hwnas.core.samples import FEW_PER_CLASS, kind_named
from hwnas.core.words import counted, number, percent
from hwnas.tasks import task_named

from .front_file import BASELINES
from .intervals import difference_between, wilson
from .verdict_records import Records

Level = Literal["bad", "warn", "good"]
LEVELS: tuple[Level, ...] = ("bad", "warn", "good")
"""The worst first."""

OUTSIDE = "outside_budget"
"""Code of the finding that nothing keeps the budgets: the search then ends as infeasible."""

LEAST_STEPS = 300
"""Optimiser steps below which a training says little about a network."""

STILL_FALLING = 0.1
"""Share of the training loss that the last quarter of a training takes off where it was cut short."""

LEARNED = 0.9
"""Training accuracy from which a falling loss is no reason to go on."""

WIDEST = 0.05
"""Half an interval of the validation accuracy from which networks can hardly be told apart."""

SAME_LATENCY = 1.05

FEWEST_RANKED = 5
"""Networks whose order says something."""

MOST_NAMED = 3
"""Networks that a sentence names."""

LOW_RHO, HIGH_RHO = 0.3, 0.6

_NAMES = {"svc": "the SVC on pixels", "linear": "the linear model on pixels"}
_UNITS = {"latency_ms": " ms", "size_mb": " MB", "peak_memory_mb": " MB", "energy_mj": " mJ"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know. code: its name for programs. advice: what to do; empty where nothing is needed."""

    level: Level
    code: str
    sentence: str
    advice: str = ""

    def to_json(self) -> dict[str, str]:
        """As front.json has it."""
        return asdict(self)


def verdict(front: Mapping[str, Any]) -> list[Finding]:
    """The findings on the run whose front.json this is, the worst first."""
    records = Records(front)
    told = kind_named(records.part("data").get("kind")).told
    findings = [
        replace(finding, sentence=told(finding.sentence), advice=told(finding.advice))
        for check in _CHECKS
        for finding in check(records)
    ]
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


def _times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:,.0f}"


def _outside(records: Records) -> Iterator[Finding]:
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


def _chance(records: Records) -> Iterator[Finding]:
    """Is the network better than the answer that is always the same?"""
    majority, best = number(records.part("data").get("majority_share_test")), records.chosen
    if majority is None or best is None:
        return
    low, high = wilson(best.test, best.n_test)
    if low <= majority:
        yield Finding(
            "bad",
            "chance_level",
            f"The chosen network is no better than guessing: {percent(best.test)} of {best.n_test:g} test "
            f"images ({percent(low)} to {percent(high)}), where the most frequent class alone has "
            f"{percent(majority)}.",
            "Use none of these networks. Train longer (--train-epochs, --minutes), check the labels "
            "(`hwnas data check`), or add images.",
        )


def _trivial(records: Records) -> Iterator[Finding]:
    """Is the network better than what needs no network?"""
    data, best = records.part("data"), records.chosen
    trivial = number(data.get("trivial_test"))
    if trivial is None or best is None:
        return
    low, high = best.interval
    told = f"{records.told(best.test)} ({percent(low)} to {percent(high)})"
    beside = f"{data.get('trivial')} has {percent(trivial)}"
    if low <= trivial:
        yield Finding(
            "bad",
            "trivial_level",
            f"The chosen network is no better than what needs no network: {told} on {best.n_test:g} test "
            f"images, where {beside}.",
            "Use none of these networks. Train longer (--train-epochs, --minutes), check the labels "
            "(`hwnas data check`), or add images.",
        )
    else:
        yield Finding("good", "beats_trivial", f"The chosen network has {told}, where {beside}.")


def _linear(records: Records) -> Iterator[Finding]:
    """Does the network beat a linear model on pixels?"""
    linear, best = number(records.front.get("linear_test_accuracy")), records.chosen
    if linear is None or best is None:
        return
    if records.metric.counted:
        beside = wilson(linear, best.n_test)
    else:  # as sure as the network
        beside = (linear - best.test + best.interval[0], linear - best.test + best.interval[1])
    low, high = difference_between(best.test, best.interval, linear, beside)
    of = " of the test images" if records.metric.counted else ""
    told = f"{records.told(best.test)}, the linear model on pixels {percent(linear)}{of}"
    if best.test <= linear:
        yield Finding(
            "bad",
            "linear_model_better",
            f"A linear model is as good: the chosen network has {told}.",
            "Train longer (--train-epochs, --minutes), or take the linear model.",
        )
    elif low <= 0:
        yield Finding(
            "warn",
            "linear_model_ties",
            f"The chosen network cannot be told from a linear model: {told} "
            f"(difference {100 * low:+.1f} to {100 * high:+.1f} points).",
            "Train longer, or test on more images.",
        )
    else:
        yield Finding("good", "beats_linear_model", f"The chosen network has {told}.")


def _short_training(records: Records) -> Iterator[Finding]:
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


def _budget(records: Records) -> Iterator[Finding]:
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


def _unstable(records: Records) -> Iterator[Finding]:
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


def _random(records: Records) -> Iterator[Finding]:
    """Would a random network have done?"""
    best = records.chosen
    rivals = [n for n in records.networks if n.origin == "random" and n.feasible]
    if best is None or not rivals:
        return
    rivals = [n for n in rivals if n.latency_ms <= SAME_LATENCY * best.latency_ms]
    rival = max(rivals, key=lambda n: n.test, default=None)
    if rival is None:
        return
    low, high = difference_between(best.test, best.interval, rival.test, rival.interval)
    if low > 0:
        yield Finding(
            "good",
            "beats_random",
            f"The chosen network beats the best random one of no more latency by {100 * low:.1f} to "
            f"{100 * high:.1f} points.",
        )
        return
    word = "is better than" if high < 0 else "ties with"
    yield Finding(
        "warn",
        "random_ties",
        f"A random network {word} the chosen one: {records.told(rival.test)} in {rival.latency_ms:.3g} ms, "
        f"the chosen one {percent(best.test)} in {best.latency_ms:.3g} ms (difference {100 * low:+.1f} to "
        f"{100 * high:+.1f} points).",
        "Both are right on every test image, so the images are easy for networks of this size: a lower "
        "--budget-ms or a smaller --image-size finds faster ones, and more test images tell them apart."
        if best.test == rival.test == 1
        else "The search gained nothing that these test images can show: search longer (--evaluations, "
        "--minutes), train longer, or test on more images.",
    )


def _failures(records: Records) -> Iterator[Finding]:
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


def _repeats(records: Records) -> Iterator[Finding]:
    """How much does the accuracy owe to the one split, where there are few images?"""
    each, repeats = number(records.part("data").get("images_per_class")), records.part("repeats")
    is_few = each is not None and 0 < each < FEW_PER_CLASS
    mean, k = number(repeats.get("mean")), number(repeats.get("k"))
    few = f"There are few images, {each:g} of a class (the median)" if is_few else ""
    if mean is not None and k:
        low, high = number(repeats.get("low")), number(repeats.get("high"))
        told = f"over {k:g} splits drawn anew the chosen network has {records.told(mean)} on average"
        if low is not None and high is not None:
            told += f" (95 % interval {percent(low)} to {percent(high)})"
        if records.chosen is not None:
            told += f", on the test images of the run {percent(records.chosen.test)}"
        yield Finding(
            "warn" if is_few else "good",
            "repeated_splits",
            f"{few}: {told}." if is_few else f"{told[:1].upper()}{told[1:]}.",
            "State the figure over the splits; more images make networks better and figures surer."
            if is_few
            else "",
        )
    elif is_few:
        yield Finding(
            "warn",
            "few_images",
            f"{few}: the accuracy rests on few test images of one split.",
            "Add images; --repeats 5 tells how far other splits differ.",
        )


def _behind(records: Records) -> Iterator[Finding]:
    """Is it far worse for some persons, cameras or sites?"""
    entries = [e for e in records.part("by_column").get("test") or [] if isinstance(e, Mapping)]
    for entry in entries:
        rows = [row for row in entry.get("rows") or [] if row.get("behind")]
        if not rows:
            continue
        share = task_named(records.front.get("task")).part_metric.counted
        named = "; ".join(_told_row(row, share=share) for row in rows[:MOST_NAMED])
        more = f" and {len(rows) - MOST_NAMED} more" if len(rows) > MOST_NAMED else ""
        yield Finding(
            "warn",
            "far_behind",
            f"The chosen network is far worse for {len(rows)} of {entry.get('values')} values of "
            f"{entry.get('column')!r} than for the others, by its {entry.get('label')}: {named}{more}.",
            "Add training images like these, or tell its users.",
        )


def _told_row(row: Mapping[str, Any], *, share: bool) -> str:
    def figure(name: str) -> str:
        value = float(row[name])
        return percent(value) if share else f"{value:.4g}"

    return f"{row['value']} {figure('score')} ({figure('low')} to {figure('high')}, {row['images']:g} images)"


def _validation(records: Records) -> Iterator[Finding]:
    """Are there enough images to tell networks apart?"""
    n_val = number(records.part("data").get("n_val"))
    point = next((p for p in records.points if p.get("arch_id") == records.front.get("chosen")), {})
    share = number((point.get("measured") or {}).get("val_accuracy"))
    if not n_val or share is None or not records.metric.counted:
        return
    low, high = wilson(share, n_val)
    if (high - low) / 2 > WIDEST:
        yield Finding(
            "warn",
            "few_validation_images",
            f"{n_val:g} validation images know an accuracy to ± {50 * (high - low):.0f} points: networks "
            "that are closer cannot be told apart.",
            "Add images, or put more of them into the validation split.",
        )


def _ranking(records: Records) -> Iterator[Finding]:
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


_CHECKS: Sequence[Callable[[Records], Iterator[Finding]]] = (
    _outside,
    _chance,
    _trivial,
    _linear,
    _short_training,
    _random,
    _budget,
    _repeats,
    _behind,
    _failures,
    _unstable,
    _validation,
    _ranking,
)
