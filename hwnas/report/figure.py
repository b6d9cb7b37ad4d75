"""What all figures share: plotly's JSON as plain dictionaries, so that only the page loads plotly.

Text inside a figure is read by plotly as a small HTML dialect, so names are escaped here too.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from .markup import esc, ms, percent
from .run_files import Point
from .theme import FONTS, GREY, RED

Figure = dict[str, Any]
Trace = dict[str, Any]


def figure(
    data: Sequence[Trace], x_title: str, y_title: str, *, height_px: int = 400, **layout: Any
) -> Figure:
    """A figure with the house's margins; `layout` is merged over the axes of that name."""
    base: Figure = {
        "height": height_px,
        "margin": {"l": 8, "r": 14, "t": 14, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONTS, "size": 13},
        "legend": {"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top"},
        "hovermode": "closest",
        "xaxis": axis(x_title) | layout.pop("xaxis", {}),
        "yaxis": axis(y_title) | layout.pop("yaxis", {}),
    }
    return {"data": list(data), "layout": base | layout}


def axis(title: str) -> dict[str, Any]:
    """An axis with the house's title."""
    named = {"text": esc(title), "standoff": 8, "font": {"size": 13}}
    return {"title": named, "automargin": True, "zeroline": False}


def scatter(x: Iterable[float | None], y: Iterable[float | None], name: str, **more: Any) -> Trace:
    """A scatter trace; with `text`, that text is all that hovering shows."""
    trace: Trace = {"type": "scatter", "x": rounded(x), "y": rounded(y), "name": name, "mode": "markers"}
    if "text" in more and "hovertemplate" not in more:
        trace["hovertemplate"] = "%{text}<extra></extra>"
    return trace | more


def exact_line(ends: Sequence[float]) -> Trace:
    """The dotted diagonal where what was expected came."""
    line = {"color": GREY, "width": 1, "dash": "dot"}
    return scatter(ends, ends, "Exact", mode="lines", hoverinfo="skip", line=line)


def interval_bars(
    values: Iterable[float], lows: Iterable[float], highs: Iterable[float], *, width_px: int = 3
) -> dict[str, Any]:
    """Error bars from `lows` to `highs`; an end on the wrong side of its value counts as the value."""
    rows = list(zip(values, lows, highs, strict=True))
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(0.0, high - value) for value, _, high in rows],
        "arrayminus": [max(0.0, value - low) for value, low, _ in rows],
        "thickness": 1.2,
        "width": width_px,
    }


def rounded(values: Iterable[float | None]) -> list[float | None]:
    """Six significant digits: what a screen can show, in a third of the bytes."""
    return [None if value is None else float(f"{value:.6g}") for value in values]


def budget_line(limit: float, text: str, *, vertical: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """(shape, annotation) of a budget: across the whole plot, named at its end."""
    along, across = ("x", "y") if vertical else ("y", "x")
    shape = {
        "type": "line",
        f"{along}0": limit,
        f"{along}1": limit,
        f"{across}0": 0,
        f"{across}1": 1,
        f"{across}ref": "paper",
        "line": {"color": RED, "width": 1.5, "dash": "dash"},
    }
    note = {
        "text": esc(text),
        along: limit,
        across: 0.02,
        f"{across}ref": "paper",
        "showarrow": False,
        "font": {"color": RED, "size": 12},
        "xanchor": "right" if vertical else "left",
        "yanchor": "bottom",
        "xshift": -4 if vertical else 0,
        "textangle": -90 if vertical else 0,
    }
    return shape, note


def hover(point: Point) -> str:
    """What is known of a network, as plotly's small HTML."""
    low, high = point.measured.get("latency_ci_low_ms"), point.measured.get("latency_ci_high_ms")
    interval = f" ({ms(low, unit=False)} to {ms(high, unit=False)})" if low and high else ""
    lines = [
        f"<b>{esc(point.label)}</b>",
        f"measured p50 {ms(point.measured.get('latency_p50_ms'))}{interval}",
        f"predicted {ms(point.predicted.get('latency_ms'))}",
        f"test {point.metric.label} {percent(point.measured.get('test_accuracy'), 2)}",
        f"validation {percent(point.measured.get('val_accuracy'), 2)}, "
        f"in the search {percent(point.predicted.get('val_accuracy_search'), 2)}",
        *wrapped(point.arch or point.arch_id),
    ]
    if point.flag:
        lines.append(f"measurement: {esc(point.flag)}")
    if not point.feasible:
        lines.append("over the budget")
    return "<br>".join(lines)


def wrapped(text: str) -> list[str]:
    """Untrusted text as escaped lines of at most 56 characters, at most 6 of them."""
    lines = textwrap.wrap(text, 56) or [""]
    return [esc(line) for line in lines[:6]] + (["…"] if len(lines) > 6 else [])
