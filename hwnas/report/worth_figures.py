"""Was the search worth it: the volume it gained, how right its surrogate was, what each operation brought."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwnas.core.words import number

from .figure import Figure, exact_line, figure, interval_bars, scatter
from .front_figures import latency_budget_ms
from .markup import esc, percent
from .run_files import JsonObject, RunFiles
from .theme import BLUE, GREEN, GREY, ORANGE, PURPLE

UNGUIDED = ("random", "start")
"""Origins of architectures that nothing learned has proposed."""
STORED = "stored"
_DRAWS = 200
_Z95 = 1.96

LatencyError = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Volumes:
    """Shares of the box below the reference that the front dominates.

    by_search: after each evaluation of the search. by_chance: expected after k of its unguided evaluations,
    drawn at random.
    """

    by_search: list[float]
    by_chance: list[float]


def volumes(run: RunFiles) -> Volumes | None:
    """In (latency, error), of what the search itself evaluated inside the budgets; None below three."""
    rows = [row for row in run.rows("evaluated") if row.get("origin") != STORED]
    pairs = [_pair(row) for row in rows]
    known = [pair for pair in pairs if pair is not None]
    if len(known) < 3:
        return None
    limit = latency_budget_ms(run)
    slowest = max(latency for latency, _ in known)
    reference = min(limit, slowest) if limit else slowest
    points = [None if pair is None else (pair[0] / reference, pair[1]) for pair in pairs]
    unguided = [p for p, row in zip(points, rows, strict=True) if row.get("origin") in UNGUIDED]
    rng = np.random.default_rng(0)
    totals = np.zeros(len(unguided))
    for _ in range(_DRAWS if len(unguided) > 1 else 0):
        totals += _growing([unguided[i] for i in rng.permutation(len(unguided))])
    return Volumes(_growing(points), (totals / _DRAWS).tolist() if len(unguided) > 1 else [])


def _pair(row: JsonObject) -> LatencyError | None:
    latency_ms, accuracy = number(row.get("latency_ms")), number(row.get("val_accuracy_search"))
    if latency_ms is None or accuracy is None or not row.get("feasible", True):
        return None
    return latency_ms, 1 - accuracy


def _growing(points: Sequence[LatencyError | None]) -> list[float]:
    """The volume after each point; a point that does not count leaves it as it was."""
    from hwnas.front.pareto import hypervolume  # here: the page of a prediction needs no search

    kept: list[LatencyError] = []
    volume, values = 0.0, []
    for point in points:
        if point is not None and not any(a[0] <= point[0] and a[1] <= point[1] for a in kept):
            kept = [a for a in kept if not (point[0] <= a[0] and point[1] <= a[1])] + [point]
            volume = float(hypervolume(kept, [1.0, 1.0]))
        values.append(volume)
    return values


def volume_figure(known: Volumes) -> Figure:
    """The volume by evaluation."""
    traces = [
        scatter(
            range(1, len(known.by_search) + 1),
            known.by_search,
            "This search",
            mode="lines",
            line={"color": BLUE, "width": 2, "shape": "hv"},
        )
    ]
    if known.by_chance:
        traces.append(
            scatter(
                range(1, len(known.by_chance) + 1),
                known.by_chance,
                "Expected of its unguided evaluations",
                mode="lines",
                line={"color": ORANGE, "width": 2, "dash": "dash"},
            )
        )
    return figure(traces, "Evaluations", "Share of the box that is dominated", height_px=330)


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Accuracies that a surrogate expected of one training, with 95 % intervals, and what came."""

    expected: list[float]
    low: list[float]
    high: list[float]
    came: list[float]

    @property
    def covered(self) -> int:
        """How many came inside their interval."""
        return sum(a <= c <= b for a, c, b in zip(self.low, self.came, self.high, strict=True))


def calibration(run: RunFiles) -> Calibrated | None:
    """Of the architectures that the surrogate proposed; None where the run records none."""
    known = Calibrated([], [], [], [])
    for row in run.rows("evaluated"):
        error, deviation = number(row.get("expected_error")), number(row.get("expected_deviation"))
        accuracy = number(row.get("val_accuracy_search"))
        if error is None or deviation is None or accuracy is None:
            continue
        spread = math.exp(_Z95 * deviation)  # the deviation is that of the log error
        known.expected.append(1 - error)
        known.low.append(1 - error * spread)
        known.high.append(1 - error / spread)
        known.came.append(accuracy)
    return known if known.came else None


def calibration_figure(known: Calibrated) -> Figure:
    """Expected against came."""
    ends = [min(known.expected + known.came), max(known.expected + known.came)]
    bars = interval_bars(known.expected, known.low, known.high)
    text = [
        f"expected {percent(e)} ({percent(a)} to {percent(b)}), came {percent(c)}"
        for e, a, b, c in zip(known.expected, known.low, known.high, known.came, strict=True)
    ]
    return figure(
        [
            exact_line(ends),
            scatter(
                known.expected,
                known.came,
                "Trained architectures",
                text=text,
                error_x=bars,
                marker={"color": PURPLE, "size": 9},
            ),
        ],
        "Expected accuracy, with 95 % interval",
        "Accuracy that came",
        height_px=330,
        xaxis={"tickformat": ".0%"},
        yaxis={"tickformat": ".0%"},
    )


def worth_figure(run: RunFiles) -> Figure | None:
    """Points of accuracy per layer of each operation, at equal latency, with 90 % intervals."""
    known = [
        (str(row.get("option")), points, low, high)
        for row in run.rows("operation_worth")
        if (points := number(row.get("points"))) is not None
        and (low := number(row.get("low"))) is not None
        and (high := number(row.get("high"))) is not None
    ]
    if not known:
        return None
    known.sort(key=lambda row: row[1])
    values = [row[1] for row in known]
    bars = interval_bars(values, [row[2] for row in known], [row[3] for row in known])
    trace = scatter(values, [None] * len(known), "", error_x=bars)
    trace |= {
        "y": [esc(row[0]) for row in known],
        "marker": {"color": [GREEN if row[2] > 0 else GREY for row in known], "size": 9},
        "showlegend": False,
    }
    return figure(
        [trace],
        f"Points of {run.metric.label} per layer",
        "",
        height_px=140 + 22 * len(known),
        xaxis={"zeroline": True},
        yaxis={"type": "category"},
    )
