"""The figures of the options: what each costs on the device, and how often the search chose it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from hwnas.core.words import number

from .figure import Figure, Trace, axis, figure, rounded
from .markup import esc, ms, percent
from .run_files import RunFiles
from .theme import BLUE, GREEN, SEQUENTIAL_BLUE, SEQUENTIAL_GREEN

Grid = Mapping[tuple[str, str], float]
"""A value per (layer, option); what is missing stays blank."""
Write = Callable[[float | None], str]


def option_grids(run: RunFiles) -> tuple[Grid, Grid]:
    """(latency in ms, chosen share) of the options, in the order of the file."""
    cost, share = {}, {}
    for row in run.rows("option_cost"):
        place = (str(row.get("layer", "")), str(row.get("option", "")))
        if (latency_ms := number(row.get("latency_ms"))) is not None:
            cost[place] = latency_ms
        if (chosen := number(row.get("chosen_share"))) is not None:
            share[place] = chosen
    return cost, share


def option_bars(cost: Grid, share: Grid) -> Figure | None:
    """Mean cost and mean share of each option over all layers that offer it, dearest on top."""
    options = sorted(_options(cost), key=lambda option: _mean(cost, option))
    if not options:
        return None
    costs, shares = [_mean(cost, o) for o in options], [_mean(share, o) for o in options]
    return figure(
        [
            _bars(options, costs, BLUE, [ms(value) for value in costs]),
            _bars(options, shares, GREEN, [f"chosen {percent(value)}" for value in shares]) | {"xaxis": "x2"},
        ],
        "ms",
        "",
        height_px=max(220, 90 + 24 * len(options)),
        bargap=0.35,
        xaxis={"domain": [0, 0.48], "rangemode": "tozero"},
        xaxis2=axis("share") | {"domain": [0.52, 1], "tickformat": ".0%", "rangemode": "tozero"},
        yaxis={"type": "category"},
    )


def _bars(options: Sequence[str], values: Sequence[float], colour: str, says: Sequence[str]) -> Trace:
    names = [esc(option) for option in options]
    return {
        "type": "bar",
        "orientation": "h",
        "x": rounded(values),
        "y": names,
        "text": [f"{name}: {value}" for name, value in zip(names, says, strict=True)],
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": colour},
        "showlegend": False,
    }


def cost_map(cost: Grid) -> Figure | None:
    """Latency of every option in every layer."""
    return _heatmap(cost, SEQUENTIAL_BLUE, "ms", ms)


def share_map(share: Grid) -> Figure | None:
    """How often each option was chosen in each layer."""
    return _heatmap(share, SEQUENTIAL_GREEN, "chosen", percent, share=True)


def belief_maps(run: RunFiles) -> tuple[Figure | None, Figure | None]:
    """Final probability of every option: of the operations, and of the other choices (widths).

    The names of the latter's options stand in no file, so they are numbered in the order of the space.
    """
    names: dict[str, list[str]] = {}
    for layer, option in option_grids(run)[0]:
        names.setdefault(layer, []).append(option)
    operations: dict[tuple[str, str], float] = {}
    others: dict[tuple[str, str], float] = {}
    for choice, epochs in run.alphas.items():
        final = _probabilities(epochs[-1]) if epochs else []
        options = names.get(choice, [])
        if len(options) == len(final):
            operations |= {(choice, option): p for option, p in zip(options, final, strict=True)}
        else:
            others |= {(choice, f"option {i}"): p for i, p in enumerate(final, start=1)}
    return (
        _heatmap(operations, SEQUENTIAL_GREEN, "probability", percent, share=True),
        _heatmap(others, SEQUENTIAL_GREEN, "probability", percent, share=True),
    )


def _probabilities(row: Sequence[float]) -> list[float]:
    """Probabilities of a row of alphas.npz, which holds log-probabilities."""
    if not row or any(math.isnan(value) for value in row) or max(row) == -math.inf:
        return []
    largest = max(row)
    powers = [math.exp(value - largest) for value in row]
    return [power / sum(powers) for power in powers]


def _options(grid: Grid) -> list[str]:
    return list(dict.fromkeys(option for _, option in grid))


def _mean(grid: Grid, option: str) -> float:
    values = [value for (_, name), value in grid.items() if name == option]
    return sum(values) / len(values) if values else 0.0


def _heatmap(grid: Grid, scale: object, unit: str, write: Write, *, share: bool = False) -> Figure | None:
    if not grid:
        return None
    layers, options = list(dict.fromkeys(layer for layer, _ in grid)), _options(grid)
    values = [[grid.get((layer, option)) for layer in layers] for option in options]
    text = [
        [f"{esc(layer)}, {esc(option)}: {write(value)}" for layer, value in zip(layers, row, strict=True)]
        for option, row in zip(options, values, strict=True)
    ]
    bar = {
        "thickness": 10,
        "outlinewidth": 0,
        "len": 0.9,
        "title": {"text": unit, "side": "right", "font": {"size": 12}},
    }
    trace = {
        "type": "heatmap",
        "x": [esc(layer) for layer in layers],
        "y": [esc(option) for option in options],
        "z": [rounded(row) for row in values],
        "text": text,
        "hovertemplate": "%{text}<extra></extra>",
        "hoverongaps": False,
        "colorscale": scale,
        "colorbar": bar | ({"tickformat": ".0%"} if share else {}),
        "xgap": 2,
        "ygap": 2,
        **({"zmin": 0} if share else {}),
    }
    axes = {"showgrid": False, "type": "category", "tickfont": {"size": 11}}
    height = max(170, 115 + 20 * len(options))
    return figure([trace], "", "", height_px=height, xaxis=axes, yaxis=axes | {"autorange": "reversed"})
