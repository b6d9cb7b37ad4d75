"""How good the chosen network is for each value of a column, as each person or camera: the worst first."""

from __future__ import annotations

from hwnas.core.words import number

from .markup import Html, HtmlContent, count, el, percent, table
from .run_files import JsonObject, RunFiles

_MOST_ROWS = 20
_SPLITS = (("test", "Test"), ("val", "Validation"))


def columns_cards(run: RunFiles) -> Html | None:
    """A card for each column and split; None where the data have no columns to tell by."""
    cards = [
        _card(entry, word, share=run.part_metric.counted)
        for split, word in _SPLITS
        for entry in run.part("by_column").get(split) or []
        if isinstance(entry, dict)
    ]
    return el("div", cards, class_="grid") if cards else None


def _card(entry: JsonObject, split: str, *, share: bool) -> Html:
    rows = [row for row in entry.get("rows") or [] if isinstance(row, dict)]
    column, label, values = (entry.get(key) for key in ("column", "label", "values"))
    shown = rows[:_MOST_ROWS]
    says = "The worst first" + (f", {len(shown)} of {values} values" if len(shown) < len(rows) else "")
    n_behind = sum(bool(row.get("behind")) for row in rows)
    told = (
        f"{n_behind} far behind the other {split.lower()} images, beyond what chance explains."
        if n_behind
        else "None is behind the others by more than chance explains."
    )
    cells: list[list[HtmlContent]] = [
        [
            el("b", str(row.get("value"))) if row.get("behind") else str(row.get("value")),
            count(number(row.get("images"))),
            _figure(row, "score", share=share),
            f"{_figure(row, 'low', share=share)} to {_figure(row, 'high', share=share)}",
            "far behind" if row.get("behind") else "",
        ]
        for row in shown
    ]
    head = (str(column), "Images", str(label).capitalize(), "95 % interval", "")
    return el(
        "div",
        el("h3", f"{split}, by {column}"),
        el("p", f"{says}. {told}"),
        table(head, cells),
        class_="card figure",
    )


def _figure(row: JsonObject, name: str, *, share: bool) -> str:
    value = number(row.get(name))
    return "–" if value is None else percent(value) if share else f"{value:.4g}"
