"""What the figures of the chosen network are worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hwnas.core.samples import FEW_PER_CLASS
from hwnas.core.words import number, percent
from hwnas.runs.intervals import difference_between, wilson
from hwnas.tasks import task_named

from .finding import MOST_NAMED, Finding
from .records import Records

WIDEST = 0.05
"""Half an interval of the validation accuracy from which networks can hardly be told apart."""

SAME_LATENCY = 1.05


def beyond_chance(records: Records) -> Iterator[Finding]:
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


def beyond_trivial(records: Records) -> Iterator[Finding]:
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


def beyond_linear(records: Records) -> Iterator[Finding]:
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


def beyond_random(records: Records) -> Iterator[Finding]:
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


def repeated_splits(records: Records) -> Iterator[Finding]:
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


def even_by_column(records: Records) -> Iterator[Finding]:
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


def enough_images(records: Records) -> Iterator[Finding]:
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
