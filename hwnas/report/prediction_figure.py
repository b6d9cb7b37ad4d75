"""The figure of the latency table: what it predicted against what the device took."""

from __future__ import annotations

from collections.abc import Sequence

from hwnas.core.words import number

from .figure import Figure, Trace, exact_line, figure, scatter, wrapped
from .markup import esc, ms, signed_percent
from .run_files import RunFiles
from .theme import BLUE, PURPLE


def prediction(run: RunFiles) -> Figure | None:
    """Measured against predicted latency of whole networks, with the ±5 % band."""
    checked = [
        (predicted_ms, measured_ms, str(row.get("key", "")))
        for row in run.part("table").get("check") or []
        if (predicted_ms := number(row.get("predicted_ms"))) is not None
        and (measured_ms := number(row.get("measured_ms"))) is not None
    ]
    shipped = [
        (p.predicted["latency_ms"], p.measured["latency_p50_ms"], p.label)
        for p in run.points
        if p.origin != "mobilenet_v3" and "latency_ms" in p.predicted and "latency_p50_ms" in p.measured
    ]
    everything = [value for p, m, _ in [*checked, *shipped] for value in (p, m)]
    if not everything:
        return None
    low, high = 0.9 * min(everything), 1.06 * max(everything)
    ends = [low, high]
    return figure(
        [
            scatter(
                [low, high, high, low],
                [0.95 * low, 0.95 * high, 1.05 * high, 1.05 * low],
                "±5 %",
                mode="lines",
                fill="toself",
                line={"width": 0},
                fillcolor="rgba(59,125,221,.16)",
                hoverinfo="skip",
            ),
            exact_line(ends),
            _checked(checked, "Check networks", BLUE, "circle"),
            _checked(shipped, "Networks of this run", PURPLE, "diamond"),
        ],
        "Predicted, ms",
        "Measured p50, ms",
        height_px=430,
        xaxis={"range": ends},
        yaxis={"range": ends},
    )


def _checked(rows: Sequence[tuple[float, float, str]], name: str, colour: str, symbol: str) -> Trace:
    text = [
        "<br>".join([f"predicted {ms(p)}, measured {ms(m)}: {signed_percent(p / m - 1)}", *wrapped(key)])
        if m > 0
        else esc(key)
        for p, m, key in rows
    ]
    return scatter(
        [r[0] for r in rows],
        [r[1] for r in rows],
        name,
        text=text,
        marker={"color": colour, "symbol": symbol, "size": 9},
    )
