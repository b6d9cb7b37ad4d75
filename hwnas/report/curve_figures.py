"""The figures of the search over time: losses, accuracies, expected latency, entropy, hypervolume."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from hwnas.core.words import number

from .figure import Figure, Trace, budget_line, figure, scatter
from .front_figures import latency_budget_ms
from .markup import Html, esc
from .run_files import RunFiles
from .theme import BLUE, GREEN, GREY, ORANGE

HEIGHT_PX = 290
X_TITLE = "Logged epoch, stages end to end"

# title, what it says, (column, name, dash) per line, axis title
CURVES = (
    ("Loss", "Cross-entropy per image.",
     (("train_loss", "training", "solid"), ("val_loss", "validation", "dot")), "Loss"),
    ("Accuracy", "Of the shared weights, on the mix or path of each epoch.",
     (("train_accuracy", "training", "solid"), ("val_accuracy", "validation", "dot")), "Accuracy"),
    ("Expected latency", "Of the mix that the gradient search holds, against the budget.",
     (("expected_latency_ms", "expected", "solid"),), "ms"),
    ("Entropy", "How undecided the search still is; 0 is one architecture.",
     (("entropy", "entropy", "solid"),), "Entropy of the mix, nats"),
)  # fmt: skip


def search_curves(run: RunFiles) -> list[tuple[str, str, Figure]]:
    """(title, one sentence, figure) of each curve that the run has numbers for."""
    curves = []
    for title, says, columns, y_title in CURVES:
        lines = [_line(run, column, name, dash) for column, name, dash in columns]
        lines = [line for line in lines if any(value is not None for value in line["y"])]
        if lines:
            shapes, notes = _stages(run)
            limit = latency_budget_ms(run)
            if title == "Expected latency" and limit is not None:
                shape, note = budget_line(limit, f"budget {limit:g} ms", vertical=False)
                shapes, notes = [*shapes, shape], [*notes, note]
            axis = {"tickformat": ".0%"} if title == "Accuracy" else {}
            drawn = figure(
                lines, X_TITLE, y_title, height_px=HEIGHT_PX, shapes=shapes, annotations=notes,
                xaxis={"range": [0.5, len(run.stats) + 0.5]}, yaxis=axis, showlegend=len(lines) > 1,
                margin={"l": 8, "r": 14, "t": 30, "b": 8},
            )  # fmt: skip
            curves.append((title, says, drawn))
    volume = _hypervolume(run)
    if volume:
        says = "The space that the front dominates, by generation: flat means the search has converged."
        curves.append(("Hypervolume", says, volume))
    return curves


def _line(run: RunFiles, column: str, name: str, dash: str) -> Trace:
    """One series over all stages, with a gap between two stages."""
    x: list[float | None] = []
    y: list[float | None] = []
    text: list[str] = []
    rows = enumerate(run.stats, start=1)
    for _, stage in groupby(rows, key=lambda pair: pair[1].get("stage", "")):
        for index, row in stage:
            value = number(row.get(column))
            if value is not None:
                x.append(index)
                y.append(value)
                text.append(_hover(row, name, value))
        x.append(None)
        y.append(None)
        text.append("")
    colour = ORANGE if dash == "dot" else BLUE
    few = sum(value is not None for value in y) <= 40
    return scatter(
        x, y, name, text=text, mode="lines+markers" if few else "lines",
        line={"color": colour, "width": 2, "dash": dash}, marker={"size": 5},
    )  # fmt: skip


def _hover(row: Mapping[str, str], name: str, value: float) -> str:
    where = f"{row.get('stage', '')}, epoch {row.get('epoch', '')}, step {row.get('step', '')}"
    return Html("<br>").join([esc(f"{name} {value:.5g}"), esc(where)])


def _stages(run: RunFiles) -> tuple[list[Trace], list[Trace]]:
    """Shading behind every second stage, and its name above: (shapes, annotations)."""
    shapes, notes = [], []
    rows = enumerate(run.stats, start=1)
    spans = [
        (name, [index for index, _ in stage])
        for name, stage in groupby(rows, key=lambda pair: pair[1].get("stage", ""))
    ]
    for order, (name, indices) in enumerate(spans):
        left, right = indices[0] - 0.5, indices[-1] + 0.5
        if order % 2:
            shapes.append(
                {"type": "rect", "x0": left, "x1": right, "y0": 0, "y1": 1, "yref": "paper", "layer": "below",
                 "fillcolor": "rgba(139,147,161,.13)", "line": {"width": 0}}
            )  # fmt: skip
        if len(spans) <= 5:
            label = name if len(name) <= 18 else name[:17] + "…"
            notes.append(
                {"text": esc(label), "x": (left + right) / 2, "y": 1, "yref": "paper", "yanchor": "bottom",
                 "showarrow": False, "font": {"size": 11, "color": GREY}}
            )  # fmt: skip
    return shapes, notes


def _hypervolume(run: RunFiles) -> Figure | None:
    rows = [
        (generation, value, row.get("evaluated", "–"))
        for row in run.rows("hypervolume")
        if (generation := number(row.get("generation"))) is not None
        and (value := number(row.get("value"))) is not None
    ]
    if not rows:
        return None
    text = [f"generation {g:g}: {v:.5g}<br>{esc(str(n))} evaluated" for g, v, n in rows]
    line = scatter(
        [g for g, _, _ in rows], [v for _, v, _ in rows], "hypervolume", text=text, mode="lines+markers",
        line={"color": GREEN, "width": 2}, marker={"size": 6},
    )  # fmt: skip
    ticks = {"dtick": max(1, len(rows) // 8)}
    return figure([line], "Generation", "Hypervolume", height_px=HEIGHT_PX, showlegend=False, xaxis=ticks)
