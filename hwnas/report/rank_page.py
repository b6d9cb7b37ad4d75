"""`hwnas rank --html`: the front of another device, as one file without any script (`script_free`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hwnas.tasks import task_named

from .markup import Html, count, el, ms, percent, percent_interval, table
from .script_free import script_free_page
from .theme import BLUE, GREEN, GREY, ORANGE, RED

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 900, 360, 64, 44, 14

RankedRow = Mapping[str, Any]


def rank_page(document: Mapping[str, Any]) -> str:
    """The page of what `hwnas.pipeline.rank.rank` returned, as text."""
    device = str(document["target"])
    content = [
        el(
            "section",
            el("h2", f"The front on {device}"),
            el("p", _lead(document)),
            _plot(document),
            _legend(),
        ),
        el("section", el("h2", "Networks of the front"), _table(document, document["front"])),
        el("section", el("h2", "Trained to the end"), _table(document, _trained(document))),
    ]
    return script_free_page(f"the front on {device}", content)


def _lead(document: Mapping[str, Any]) -> str:
    limits = [f"{b['metric']} at most {b['limit']:g}" for b in document["budgets"]]
    known, source = document["table"], document["evaluator"]
    sentences = (
        f"{len(document['front'])} of {document['networks_known']} networks that were evaluated for "
        f"{document['searched_for']}, none trained again.",
        f"Budgets: {', '.join(limits) or 'none'}.",
        f"Latencies are predicted by the table of {known['date']}, within {100 * known['margin']:.1f} % for "
        "nine networks of ten.",
        f"Accuracies are those of the search ({source}), on {document['validation_images']} images.",
    )
    return " ".join(sentences)


def _trained(document: Mapping[str, Any]) -> list[RankedRow]:
    return [row for row in document["networks"] if row["test_accuracy"] is not None]


def _table(document: Mapping[str, Any], rows: Sequence[RankedRow]) -> Html:
    if not rows:
        return el("p", "None.", class_="note")
    n = document["validation_images"]
    metric = task_named(document.get("task")).metric
    head = (
        "Network",
        "Kind",
        "Predicted latency",
        "Interval",
        f"Search {metric.label}",
        "Interval",
        f"Test {metric.label}",
    )
    return table(
        (*head, "MACs", "In budget"),
        [
            (
                row["network"],
                row["kind"],
                ms(row["latency_ms"]),
                f"{ms(row['latency_low_ms'], unit=False)} to {ms(row['latency_high_ms'])}",
                percent(row["val_accuracy_search"]),
                percent_interval(row["val_accuracy_search"], n) if metric.counted else "–",
                percent(row["test_accuracy"]),
                count(row["macs"]),
                row["in_budget"],
            )
            for row in rows
        ],
    )


def _plot(document: Mapping[str, Any]) -> Html:
    """Search accuracy against predicted latency on a log axis; the front as a line."""
    rows = document["networks"]
    xs = [math.log(row["latency_ms"]) for row in rows]
    ys = [row["val_accuracy_search"] for row in rows]
    limit = next((b["limit"] for b in document["budgets"] if b["metric"] == "latency_ms"), None)
    if limit is not None:
        xs.append(math.log(limit))
    across, up = (
        _scale(min(xs), max(xs), _LEFT, _WIDTH - 12),
        _scale(min(ys), max(ys), _HEIGHT - _BOTTOM, _TOP),
    )
    places = {row["network"]: (across(x), up(y)) for row, x, y in zip(rows, xs, ys, strict=False)}
    line = " ".join("{:.1f},{:.1f}".format(*places[row["network"]]) for row in document["front"])
    marks = [_mark(row, *places[row["network"]]) for row in rows]
    return el(
        "svg",
        el("title", f"Search {task_named(document.get('task')).metric.label} against predicted latency"),
        el("polyline", points=line, fill="none", stroke=BLUE, stroke_width=1.5),
        [] if limit is None else _budget(across(math.log(limit)), limit),
        marks,
        _axes(min(xs), max(xs), min(ys), max(ys)),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        xmlns="http://www.w3.org/2000/svg",
        font_size=12,
        fill="currentColor",
    )


def _scale(low: float, high: float, start: float, end: float) -> Any:
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def _mark(row: RankedRow, x: float, y: float) -> Html:
    trained = row["test_accuracy"] is not None
    colour = GREEN if trained else GREY if row["in_budget"] == "no" else ORANGE
    text = f"{row['network']}: {ms(row['latency_ms'])}, {percent(row['val_accuracy_search'])}, {row['kind']}"
    return el("circle", el("title", text), cx=f"{x:.1f}", cy=f"{y:.1f}", r=6 if trained else 3.5, fill=colour)


def _budget(x: float, limit: float) -> list[Html]:
    return [
        el("line", x1=x, x2=x, y1=_TOP, y2=_HEIGHT - _BOTTOM, stroke=RED, stroke_dasharray="6 4"),
        el("text", f"budget {ms(limit)}", x=x - 6, y=_TOP + 10, fill=RED, text_anchor="end"),
    ]


def _axes(x_low: float, x_high: float, y_low: float, y_high: float) -> list[Html]:
    base = _HEIGHT - _BOTTOM
    corners = [
        (_LEFT, base + 18, ms(math.exp(x_low)), "start"),
        (_WIDTH - 12, base + 18, ms(math.exp(x_high)), "end"),
        ((_LEFT + _WIDTH) / 2, base + 36, "predicted latency", "middle"),
        (_LEFT - 8, base, percent(y_low), "end"),
        (_LEFT - 8, _TOP + 10, percent(y_high), "end"),
    ]
    lines = [
        el("line", x1=_LEFT, x2=_WIDTH - 12, y1=base, y2=base, stroke="currentColor", opacity="0.35"),
        el("line", x1=_LEFT, x2=_LEFT, y1=_TOP, y2=base, stroke="currentColor", opacity="0.35"),
    ]
    return lines + [el("text", text, x=x, y=y, text_anchor=anchor) for x, y, text, anchor in corners]


def _legend() -> Html:
    parts = (
        (GREEN, "trained to the end"),
        (ORANGE, "evaluated, in the budget or perhaps"),
        (GREY, "over the budget"),
    )
    return el(
        "p",
        [[el("span", "● ", style=f"color:{colour}"), f"{text}  "] for colour, text in parts],
        class_="note",
    )
