"""How good a file is for each value of a column, as each person or camera, and which values fall behind.

[1] Dunn 1961, Multiple comparisons among means: of m values that are compared, each at a level of 5 % / m.
[2] Fisher 1935, The logic of inductive inference: whether two groups differ in a share, exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hwnas.runs.intervals import Z_95, Interval, bootstrap, difference_between, widened, wilson

from .onnx_score import OnnxScore

if TYPE_CHECKING:
    from hwnas.data.columns import Column

MOST_VALUES = 100
"""Of a column, those with the most samples; the others are counted."""

FAR = 1.25
"""Times the error of the others from which a value may be called far behind."""

LEVEL = 0.05
"""Of columns without a difference, the share of which a value may be called so [1]."""

SamplePlaces = NDArray[np.int64]


def by_column(score: OnnxScore, columns: Sequence[Column]) -> list[dict[str, Any]]:
    """An entry for each column of several values, as JSON. columns: of the samples of `score`.

    rows: of each value the samples, the score with a 95 % interval and whether it is `behind`: so much worse
    than the other samples that chance brings it about in less than `LEVEL` of all such columns (of shares by
    Fisher's exact test [2], else by the bootstrap), and at least `FAR` times their error. The worst first.
    """
    return [entry for column in columns if (entry := _entry(score, column)) is not None]


def _entry(score: OnnxScore, column: Column) -> dict[str, Any] | None:
    counts = np.bincount(column.values, minlength=len(column.names))
    present = np.flatnonzero(counts)
    if len(present) < 2:
        return None
    kept = present[np.argsort(-counts[present], kind="stable")][:MOST_VALUES]
    figure = _Figure(score)
    rows = [_row(figure, column, int(value), len(kept)) for value in kept]
    metric = score.task.part_metric
    rows.sort(key=lambda row: row["score"], reverse=metric.lower_is_better)
    return {
        "column": column.name,
        "metric": metric.name,
        "label": metric.label,
        "values": len(present),
        "rows": rows,
    }


def _row(figure: _Figure, column: Column, value: int, m: int) -> dict[str, Any]:
    here = np.flatnonzero(column.values == value)
    others = np.flatnonzero(column.values != value)
    score, low, high = figure.of(here)
    return {
        "value": column.names[value],
        "images": len(here),
        "score": score,
        "low": low,
        "high": high,
        "behind": figure.is_behind(here, others, m),
    }


class _Figure:
    """The metric of parts of the samples."""

    def __init__(self, score: OnnxScore) -> None:
        self._metric = score.task.part_metric
        if self._metric == score.task.metric:  # a task may be quick at it
            self._at = score.task.scorer(score.logits, score.labels)
        else:
            self._at = lambda places: score.task.metrics(score.logits[places], score.labels[places])[
                self._metric.name
            ]

    def of(self, places: SamplePlaces) -> tuple[float, float, float]:
        """Its value at these places, with a 95 % interval."""
        value = float(self._at(places))
        if self._metric.counted:
            return value, *wilson(value, len(places))
        return value, *bootstrap(lambda drawn: self._at(places[drawn]), len(places))

    def is_behind(self, here: SamplePlaces, others: SamplePlaces, m: int) -> bool:
        """Whether it is far worse here, beyond what m such comparisons bring about by chance."""
        mine, theirs = (float(self._at(places)) for places in (here, others))
        if self._error(mine) <= FAR * self._error(theirs):
            return False
        if self._metric.counted:
            from scipy.stats import hypergeom

            right, all_right = mine * len(here), mine * len(here) + theirs * len(others)
            n = len(here) + len(others)
            return float(hypergeom.cdf(round(right), n, round(all_right), len(here))) <= LEVEL / m
        factor = NormalDist().inv_cdf(1 - LEVEL / m) / Z_95
        return difference_between(*self._errors(here, factor), *self._errors(others, factor))[0] > 0

    def _errors(self, places: SamplePlaces, factor: float) -> tuple[float, Interval]:
        """The error and its interval, so many times as wide."""
        value, *ends = self.of(places)
        low, high = sorted(map(self._error, ends))
        return self._error(value), widened(self._error(value), (low, high), factor)

    def _error(self, value: float) -> float:
        return value if self._metric.lower_is_better else 1 - value


def behind(entries: Sequence[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(entry, row) of the values that fall behind."""
    for entry in entries:
        for row in entry["rows"]:
            if row["behind"]:
                yield entry, row
