"""`hwnas predict --html`: which layers cost what, predicted and, where it was measured, real.

One file without any script (`script_free`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .markup import Html, HtmlContent, count, el, fixed, join, ms, percent, signed_percent
from .script_free import script_free_page
from .theme import BLUE, GREEN, ORANGE

_BARS = """
.bars { width: 34%; min-width: 180px; }
.bar { display: block; height: 9px; border-radius: 3px; min-width: 1px; margin: 2px 0; }
.name { text-align: left; max-width: 320px; overflow: hidden; text-overflow: ellipsis; }
"""

PredictedModel = Mapping[str, Any]


def breakdown_page(*documents: Mapping[str, Any]) -> str:
    """The page of what `hwnas.commands.documents.predict.predict_models` returned, as text.

    Several networks or targets are compared in a table at the top.
    """
    names = dict.fromkeys(name for document in documents for name in document["models"])
    on = ", ".join(str(document["target"]["name"]) for document in documents)
    parts = [_comparison(list(names), documents)] if len(names) + len(documents) > 2 else []
    for document in documents:
        suffix = f" on {document['target']['name']}" if len(documents) > 1 else ""
        parts += [_section(f"{name}{suffix}", model) for name, model in document["models"].items()]
        parts.append(_conditions(document))
    return script_free_page(f"{', '.join(names)} on {on}", join(*parts), style=_BARS)


def _comparison(names: Sequence[str], documents: Sequence[Mapping[str, Any]]) -> Html:
    """A row per network and a column per target: the latency with its interval."""
    targets = [str(document["target"]["name"]) for document in documents]
    rows = []
    for name in names:
        models = [document["models"].get(name) for document in documents]
        cells = [
            el(
                "td",
                ms(model["latency_ms"], unit=False),
                el("small", f" {ms(model['low_ms'], unit=False)} to {ms(model['high_ms'], unit=False)}"),
            )
            if model
            else el("td", "failed")
            for model in models
        ]
        rows.append(el("tr", el("th", name, scope="row", class_="name", title=name), cells))
    head = el(
        "tr",
        el("th", "Network", scope="col", class_="name"),
        [el("th", f"{target}, ms", scope="col") for target in targets],
    )
    return el(
        "section",
        el("h2", "Predicted latency"),
        el("div", el("table", el("thead", head), el("tbody", rows)), class_="scroll", tabindex="0"),
    )


def _section(name: str, model: PredictedModel) -> Html:
    layers = model["layers"]
    slowest = max((max(row["latency_ms"], row["measured_ms"] or 0.0) for row in layers), default=1.0)
    return el(
        "section",
        el("h2", name),
        el("dl", _cards(model), class_="cards"),
        _unseen(model),
        _legend(measured=model["measured"] is not None),
        el(
            "div",
            el(
                "table",
                el("thead", el("tr", [el("th", text, scope="col", class_=side) for text, side in _HEAD])),
                el("tbody", [_row(row, slowest, model["latency_ms"]) for row in layers]),
            ),
            class_="scroll",
            tabindex="0",
        ),
        el("p", f"Outside of all layers: {ms(model['overhead_ms'])}.", class_="note"),
    )


_NUMBERS = ("Predicted, ms", "Measured, ms", "Share", "MACs", "Profile")
_HEAD = [("Layer", "name"), ("Kernel", "name"), ("", "bars"), *((text, None) for text in _NUMBERS)]


def _row(row: Mapping[str, Any], slowest_ms: float, total_ms: float) -> Html:
    """A layer in the order of execution, its bars as long as its time."""
    times = ((row["latency_ms"], ORANGE if row["source"] == "unknown" else BLUE), (row["measured_ms"], GREEN))
    bars = [
        el("span", class_="bar", style=f"width:{100 * time / slowest_ms:.2f}%;background:{colour}")
        for time, colour in times
        if time is not None
    ]
    cells: list[HtmlContent] = [
        ms(row["latency_ms"], unit=False),
        ms(row["measured_ms"], unit=False),
        percent(row["latency_ms"] / total_ms),
        count(row["macs"]) if row["macs"] else "",
        "" if row["source"] == "known" else row["source"],
    ]
    return el(
        "tr",
        el("th", row["name"], scope="row", class_="name", title=row["name"]),
        el("td", row["kind"], class_="name"),
        el("td", bars, class_="bars"),
        [el("td", cell) for cell in cells],
    )


def _cards(model: PredictedModel) -> list[Html]:
    memory = model["peak_memory_bytes"]
    entries: list[tuple[str, str, str]] = [
        ("Predicted latency", ms(model["latency_ms"]), f"{ms(model['low_ms'])} to {ms(model['high_ms'])}"),
        ("Kernels", str(len(model["layers"])), f"from the {model['kernels_from']}"),
        ("MACs", count(model["macs"]), ""),
        ("File", fixed(model["file_bytes"] / 1e6, 1, " MB"), ""),
        (
            "Peak memory",
            fixed(memory / 1e6 if memory else None, 0, " MB"),
            "of a fresh process, predicted" if memory else "the profile has no memory model",
        ),
    ]
    measured = model["measured"]
    if measured:
        off = signed_percent(model["latency_ms"] / measured["latency_ms"] - 1)
        entries.insert(1, ("Measured latency", ms(measured["latency_ms"]), f"the prediction is {off} off"))
    return [
        el("div", el("dt", name), el("dd", value, el("small", note) if note else None), class_="card")
        for name, value, note in entries
    ]


def _unseen(model: PredictedModel) -> Html | None:
    """The kinds of kernels that the profile knows little of."""
    kinds = {**model["unknown"], **model["few"]}
    if not kinds:
        return None
    text = ", ".join(f"{kind} ({n})" for kind, n in kinds.items())
    return el(
        "p",
        el("b", "Few or no samples in the profile: "),
        text,
        ". Take its times with care.",
        class_="pending",
    )


def _legend(*, measured: bool) -> Html:
    entries = [("predicted", BLUE), ("predicted without any sample of its kind", ORANGE)]
    entries += [("measured in context", GREEN)] if measured else []
    swatches = [
        el("li", el("span", class_="swatch", style=f"background:{colour}"), text) for text, colour in entries
    ]
    return el("ul", swatches, class_="legend")


def _conditions(document: Mapping[str, Any]) -> Html:
    """What stands beside every latency."""
    facts, profile = document["context"]["facts"], document["profile"]
    options = {key: value for key, value in document["target"].items() if key != "name"}
    mape_pct = profile["errors"].get("mape_pct")
    parts = [
        document["target"]["name"],
        str(facts.get("cpu_model") or facts.get("cpu_hardware") or ""),
        f"onnxruntime {facts['ort_version']}" if "ort_version" in facts else "",
        ", ".join(f"{key} {value}" for key, value in options.items()),
        f"profiled {str(profile['date'])[:10]}",
        f"mean error on networks not seen {fixed(mape_pct, 1, ' %')}" if mape_pct is not None else "",
        f"context {document['context']['hash']}",
    ]
    return el("footer", " · ".join(part for part in parts if part))
