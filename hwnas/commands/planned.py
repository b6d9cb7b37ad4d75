"""What a search would do, as `--dry-run` says it to a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hwnas.core.samples import kind_named
from hwnas.core.words import counted

_SHOWN = 8
"""Classes that are named."""


def plan_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """document: what `--dry-run --json` prints."""
    config, work = document["config"], document.get("work")
    if work is None:
        yield "the table can be read; nothing is trained for a search of it"
    elif work.get("continue_from"):
        yield f"networks: {', '.join(work['networks'])}, from their weights in {work['continue_from']}"
        if growth := work.get("growth"):
            added = ", ".join(f"{n:,} {name}" for name, n in growth["added"].items())
            yield f"data that grew: {growth['kept']:,} keep their split; new: {added}"
        if work["train_epochs"] is not None:
            yield f"trained for {counted(work['train_epochs'], 'epoch')} more"
    else:
        yield from _data(work["data"])
        budgets = ", ".join(config["budgets"]) or "the median latency of 200 random networks"
        yield f"front: of {', '.join(work['objectives'])}, by strategy {work['strategy']}; budget: {budgets}"
        yield f"plan: {work['in_words']}"
    if work is not None:
        yield from _time(work)
    if config.get("federated") is not None:
        yield f"parts: those of {config['federated']} train; how fast they are is not in this forecast"
    yield "nothing was done; the same command without --dry-run does it, and with --json lists every option"


def _data(facts: Mapping[str, Any]) -> Iterator[str]:
    kind = kind_named(facts["kind"])
    splits = ", ".join(f"{n:,} {name}" for name, n in facts["splits"].items())
    extent = kind.extent(facts["in_channels"], facts["image_size"])
    yield f"data: {facts['n_images']:,} {kind.plural} of {facts['name']}, {extent}; {splits}"
    if facts["classes"]:
        shown = [f"{name} {sum(n.values()):,}" for name, n in list(facts["classes"].items())[:_SHOWN]]
        more = len(facts["classes"]) - len(shown)
        named = ", ".join([*shown, *([f"and {more} more"] if more else [])])
        yield f"each {facts['counted']}: {named}"
    for note in facts.get("notes", ()):
        yield f"note: {note}"


def _time(work: Mapping[str, Any]) -> Iterator[str]:
    """How long, by what, and how much memory."""
    if "forecast_minutes" in work:
        low, high = (work[f"forecast_{end}_minutes"] for end in ("low", "high"))
        parts = sorted(work["forecast_s"].items(), key=lambda item: -item[1])
        longest = ", ".join(f"{name} {seconds / 60:.2g}" for name, seconds in parts[:3] if seconds)
        yield f"time: about {work['forecast_minutes']:.2g} minutes ({low:.2g} to {high:.2g}); {longest}"
    if work.get("minutes") is not None:
        yield f"limit: --minutes {work['minutes']:g}, which the plan is kept up with while it runs"
    if work.get("too_little_time"):
        yield "too little time to train networks well: give more --minutes, or a smaller --image-size"
    if "memory_gb" in work:
        yield f"memory: at most {work['memory_gb']:.1f} GB"
