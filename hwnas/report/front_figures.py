"""The figures of the result: the front as trained and measured, and the front as the search saw it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hwnas.core.words import number

from .figure import Figure, Trace, budget_line, figure, hover, interval_bars, scatter, wrapped
from .markup import esc, ms, percent
from .run_files import JsonObject, Point, RunFiles
from .theme import BLUE, GREY, ORIGIN_STYLES, PICK_SYMBOLS, RED

LatencyAccuracy = tuple[float, float]
"""Latency in ms, accuracy in 0..1."""
KnownPoint = tuple[Point, LatencyAccuracy]
FAR = 1.5  # a budget so many times the slowest network is not worth the empty plot before it
HOVER_LIMIT = 3000  # beyond, evaluated points show numbers without their names: the page stays small


def latency_budget_ms(run: RunFiles) -> float | None:
    """The limit on latency, where the run has one."""
    limits = [number(row.get("limit")) for row in run.rows("budgets") if row.get("metric") == "latency_ms"]
    return limits[0] if limits else None


def accuracy_of(point: Point) -> float | None:
    """Test accuracy of the exported file, or validation accuracy until it was tested."""
    return point.measured.get("test_accuracy", point.measured.get("val_accuracy"))


def measured_pair(point: Point) -> LatencyAccuracy | None:
    """(measured p50 in ms, accuracy) of a network that was trained and measured."""
    latency_ms, accuracy = point.measured.get("latency_p50_ms"), accuracy_of(point)
    return None if latency_ms is None or accuracy is None else (latency_ms, accuracy)


def non_dominated(pairs: Iterable[LatencyAccuracy]) -> list[LatencyAccuracy]:
    """The pairs that no other beats in both (less latency, more accuracy), by rising latency."""
    kept: list[LatencyAccuracy] = []
    for latency_ms, accuracy in sorted(set(pairs), key=lambda pair: (pair[0], -pair[1])):
        if not kept or accuracy > kept[-1][1]:
            kept.append((latency_ms, accuracy))
    return kept


def trained_front(run: RunFiles, where: str) -> Figure | None:
    """Test accuracy against measured latency. None before anything was measured."""
    known = [(point, pair) for point in run.points if (pair := measured_pair(point))]
    if not known:
        return None
    searched = [(p, pair) for p, pair in known if not p.is_baseline]
    line = non_dominated(pair for point, pair in searched if point.feasible)
    traces = [
        scatter(
            *_axes(line),
            "Best of the search",
            mode="lines",
            hoverinfo="skip",
            line={"shape": "hv", "color": BLUE, "width": 1.5},
            opacity=0.6,
        ),
        _shift(known),
        *(_group(name, [k for k in searched if k[0].feasible and k[0].pick == name]) for name in _picks(run)),
        _group("", [k for k in searched if k[0].feasible and not k[0].pick]),
        *(
            _baseline(origin, [k for k in known if k[0].origin == origin and k[0].feasible])
            for origin in ORIGIN_STYLES
        ),
        _over_budget([k for k in known if not k[0].feasible]),
    ]
    shapes, notes = _budget(run, traces)
    svc = number(run.front.get("svc_test_accuracy"))
    if svc is not None:
        shape, note = budget_line(svc, f"SVC {percent(svc)}", vertical=False)
        shape["line"], note["font"] = {"color": GREY, "width": 1.5, "dash": "dot"}, {"size": 12}
        shapes, notes = [*shapes, shape], [*notes, note]
    tested = all("test_accuracy" in point.measured for point, _ in known)
    label = run.metric.label
    title = f"Test {label} of the ONNX file" if tested else f"{label} (test where known, else validation)"
    title = title[0].upper() + title[1:]
    return figure(
        [trace for trace in traces if trace and trace["x"]],
        f"Measured latency p50, ms ({where})",
        title,
        height_px=480,
        shapes=shapes,
        annotations=notes,
        yaxis={"tickformat": ".4~p"},
    )


def searched_front(run: RunFiles, where: str) -> Figure | None:
    """Shared-weight accuracy against predicted latency: every evaluation. None before the first."""
    rows = run.rows("evaluated")
    points = [p for p in run.points if _predicted_pair(p) and p.origin in ("front", "pick", "gradient")]
    if not rows and not points:
        return None
    pairs = [(p, pair) for p in points if (pair := _predicted_pair(p))]
    named = len(rows) <= HOVER_LIMIT
    front = non_dominated(pair for point, pair in pairs if point.feasible)
    traces = [
        _cloud([r for r in rows if r.get("feasible", True)], "Evaluated", "circle", named),
        _cloud([r for r in rows if not r.get("feasible", True)], "Over the budget or failed", "x", named),
        scatter(
            *_axes(front),
            "",
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
            line={"shape": "hv", "color": BLUE, "width": 1.5},
            opacity=0.6,
        ),
        _marked([k for k in pairs if not k[0].pick], "Front", BLUE, "circle", size=8),
        *(
            _marked([k for k in pairs if k[0].pick == name], name, BLUE, _symbol(name), size=13)
            for name in _picks(run)
        ),
    ]
    shapes, notes = _budget(run, traces)
    return figure(
        [trace for trace in traces if trace["x"]],
        f"Predicted latency, ms ({where})",
        f"Validation {run.metric.label} in the search",
        height_px=480,
        shapes=shapes,
        annotations=notes,
        yaxis={"tickformat": ".4~p"},
    )


def _axes(pairs: Sequence[LatencyAccuracy]) -> tuple[list[float | None], list[float | None]]:
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _symbol(pick: str) -> str:
    return PICK_SYMBOLS.get(pick, "circle")


def _picks(run: RunFiles) -> list[str]:
    return list(dict.fromkeys(point.pick for point in run.points if point.pick))


def _predicted_pair(point: Point) -> LatencyAccuracy | None:
    latency_ms = point.predicted.get("latency_ms")
    accuracy = point.predicted.get("val_accuracy_search")
    return None if latency_ms is None or accuracy is None else (latency_ms, accuracy)


def _marked(known: Sequence[KnownPoint], name: str, colour: str, symbol: str, *, size: int) -> Trace:
    return scatter(
        *_axes([pair for _, pair in known]),
        esc(name),
        text=[hover(p) for p, _ in known],
        marker={"color": colour, "symbol": symbol, "size": size, "line": {"width": 0}},
    )


def _with_interval(trace: Trace, known: Sequence[KnownPoint]) -> Trace:
    """The trace with the measured confidence interval as horizontal error bars."""
    lows = [p.measured.get("latency_ci_low_ms", x) for p, (x, _) in known]
    highs = [p.measured.get("latency_ci_high_ms", x) for p, (x, _) in known]
    return trace | {"error_x": interval_bars([x for _, (x, _) in known], lows, highs, width_px=4)}


def _group(pick: str, known: Sequence[KnownPoint]) -> Trace:
    name = f"Pick: {pick}" if pick else "Other networks of the search"
    trace = _marked(known, name, BLUE, _symbol(pick), size=15 if pick else 10)
    return _with_interval(trace, known)


def _baseline(origin: str, known: Sequence[KnownPoint]) -> Trace:
    name, colour, symbol = ORIGIN_STYLES[origin]
    return _with_interval(_marked(known, name, colour, symbol, size=10), known)


def _over_budget(known: Sequence[KnownPoint]) -> Trace:
    return _with_interval(_marked(known, "Over the budget", GREY, "x-thin-open", size=9), known)


def _shift(known: Sequence[KnownPoint]) -> Trace:
    """A hollow marker at the predicted latency, joined to the measured one."""
    x: list[float | None] = []
    y: list[float | None] = []
    for point, (measured_ms, accuracy) in known:
        predicted_ms = point.predicted.get("latency_ms")
        if predicted_ms is not None:
            x += [predicted_ms, measured_ms, None]
            y += [accuracy, accuracy, None]
    sizes = [7 if index % 3 == 0 else 0 for index in range(len(x))]
    return scatter(
        x,
        y,
        "Predicted latency",
        mode="lines+markers",
        hoverinfo="skip",
        line={"color": GREY, "width": 1},
        marker={"symbol": "circle-open", "color": GREY, "size": sizes},
    )


def _cloud(rows: Sequence[JsonObject], name: str, symbol: str, named: bool) -> Trace:
    x, y, text = [], [], []
    for row in rows:
        latency_ms, accuracy = number(row.get("latency_ms")), number(row.get("val_accuracy_search"))
        if latency_ms is None or accuracy is None:
            continue
        x.append(latency_ms)
        y.append(accuracy)
        if named:
            generation = esc(str(row.get("generation", "–")))
            first = f"{ms(latency_ms)}, {percent(accuracy)}, generation {generation}"
            text.append("<br>".join([first, *wrapped(str(row.get("arch_id", "")))]))
    marker = {"color": GREY, "symbol": symbol, "size": 5, "opacity": 0.5}
    return scatter(x, y, name, marker=marker, **({"text": text} if named else {}))


def _budget(run: RunFiles, traces: Sequence[Trace]) -> tuple[list[Trace], list[Trace]]:
    """(shapes, annotations); a budget far to the right of every network is named, but squeezes no axis."""
    limit = latency_budget_ms(run)
    if limit is None:
        return [], []
    known = [x for trace in traces for x in trace["x"] if x is not None]
    if known and limit > FAR * max(known):
        return [], [
            {
                "text": esc(f"budget {limit:g} ms: far to the right →"),
                "x": 1, "xref": "paper", "xanchor": "right",
                "y": 0.02, "yref": "paper", "yanchor": "bottom",
                "showarrow": False, "font": {"color": RED, "size": 12},
            }
        ]  # fmt: skip
    shape, note = budget_line(limit, f"budget {limit:g} ms", vertical=True)
    return [shape], [note]
