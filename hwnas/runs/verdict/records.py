"""What a verdict reads: `front.json` with care, for older runs record less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hwnas.core.words import number, percent
from hwnas.runs.front_file import BASELINES
from hwnas.runs.intervals import Interval, wilson
from hwnas.tasks import Metric, task_named


@dataclass(frozen=True, slots=True)
class NetworkFigures:
    """A trained network: its measured latency, and its score on so many test images with a 95 % interval."""

    name: str
    origin: str
    latency_ms: float
    test: float
    n_test: float
    interval: Interval
    feasible: bool


class Records:
    """front.json: parts may be missing or null."""

    def __init__(self, front: Mapping[str, Any]) -> None:
        """Front: the document."""
        self.front = front
        self.points = [p for p in front.get("points") or [] if isinstance(p, Mapping)]
        self.networks = [n for p in self.points if (n := _network(p)) is not None]
        mine = [n for n in self.networks if n.origin not in BASELINES]
        self.chosen = next((n for n in mine if n.name == front.get("chosen")), None)

    @property
    def metric(self) -> Metric:
        """The objective of the task."""
        return task_named(self.front.get("task")).metric

    def told(self, score: float) -> str:
        """A score of the task in words."""
        return percent(score) if self.metric.counted else f"{self.metric.label} {percent(score)}"

    def part(self, name: str) -> Mapping[str, Any]:
        """An object of it; empty where there is none."""
        value = self.front.get(name)
        return value if isinstance(value, Mapping) else {}


def _network(point: Mapping[str, Any]) -> NetworkFigures | None:
    measured = point.get("measured") or {}
    test, n_test = number(measured.get("test_accuracy")), number(measured.get("test_images"))
    latency_ms = number(measured.get("latency_p50_ms"))
    if test is None or not n_test or latency_ms is None:
        return None
    return NetworkFigures(
        name=str(point.get("arch_id")),
        origin=str(point.get("origin")),
        latency_ms=latency_ms,
        test=test,
        n_test=n_test,
        interval=_interval(measured, test, n_test),
        feasible=bool(point.get("feasible", True)),
    )


def _interval(measured: Mapping[str, Any], test: float, n_test: float) -> Interval:
    """As it was measured; of an accuracy, which is a share of the images, in closed form."""
    low, high = (number(measured.get(f"test_accuracy_{end}")) for end in ("low", "high"))
    return wilson(test, n_test) if low is None or high is None else (low, high)
