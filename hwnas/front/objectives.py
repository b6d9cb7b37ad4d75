"""What a search optimises: a problem of objectives and constraints, and how far a set of points got.

`Problem.values_of` is the one place that turns metrics into objective values *and* constraints, so
that no trial exists without its constraints: Optuna 5 takes a trial that recorded none for feasible.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from hwnas.core.arrays import Array
from hwnas.core.budget import COSTS, Budget, base_metric
from hwnas.evaluators import EvaluationFailed, Metrics
from targets.errors import UsageError, did_you_mean

from . import pareto
from .preference import find_preference

_LEAST = 1e-6
_MAXIMISED = ("val_accuracy", "val_top5_accuracy")
OBJECTIVES = (*_MAXIMISED, "val_loss", *COSTS)


@dataclass(frozen=True, slots=True)
class Objective:
    """One metric to make as large or as small as possible."""

    metric: str
    maximise: bool = False

    @classmethod
    def parse(cls, metric: str) -> Objective:
        """The objective for a known metric; a cost may name its target (`latency_ms@phone`)."""
        base = base_metric(metric)
        if base not in OBJECTIVES:
            raise UsageError(f"unknown objective {metric!r}; {did_you_mean(base, OBJECTIVES)}")
        return cls(metric, base in _MAXIMISED)


@dataclass(frozen=True, slots=True)
class TrialValues:
    """What the metrics of one architecture are worth in a problem.

    objectives: the value of each objective as measured, in the order of the problem.
    constraints: per budget its relative excess, which is 0 or below where the budget is kept.
    penalty: by how much its errors are multiplied where solutions are compared, because of soft budgets.
    """

    objectives: tuple[float, ...]
    constraints: Mapping[str, float]
    penalty: float = 1.0

    @property
    def feasible(self) -> bool:
        """Whether every budget is kept."""
        return all(v <= 0 for v in self.constraints.values())

    @property
    def violation(self) -> float:
        """Sum of the excesses over the budgets; 0 exactly when feasible."""
        return sum(max(0.0, v) for v in self.constraints.values())


@dataclass(frozen=True)
class Problem:
    """Objectives and constraints of a search.

    worst: the largest cost that counts for the hypervolume, per objective without a budget. An
        objective that is absent here gets the largest value of generation 0.
    prefer: the part of the front that matters most (`hwnas.front.preference`); None is all of it.

    >>> problem = Problem.parse(["val_accuracy", "latency_ms"], [Budget("latency_ms", 10.0)])
    >>> problem.values_of({"val_accuracy": 0.9, "latency_ms": 12.5})
    TrialValues(objectives=(0.9, 12.5), constraints={'latency_ms': 0.25}, penalty=1.0)
    """

    objectives: tuple[Objective, ...]
    budgets: tuple[Budget, ...] = ()
    worst: Mapping[str, float] = field(default_factory=dict)
    prefer: str | None = None

    def __post_init__(self) -> None:
        """Refuse no, repeated or unusable objectives and budgets."""
        for what, names in (
            ("objective", [o.metric for o in self.objectives]),
            ("budget", [b.metric for b in self.budgets]),
        ):
            twice = sorted({n for n in names if names.count(n) > 1})
            if twice:
                raise UsageError(f"{what} {twice[0]!r} is given twice; give each metric once")
        if not self.objectives:
            raise UsageError("a search needs at least one objective, for instance val_accuracy")
        if self.prefer is not None:
            find_preference(self.prefer)
        for metric, limit in self.worst.items():
            if not (math.isfinite(limit) and limit > 0):
                raise UsageError(f"the worst {metric} must be finite and above 0, got {limit!r}")

    @classmethod
    def parse(
        cls,
        objectives: Sequence[str],
        budgets: Sequence[Budget | str] = (),
        worst: Metrics | None = None,
        prefer: str | None = None,
    ) -> Problem:
        """The problem from the names of its objectives and its budgets, as `latency_ms<=12~2`."""
        limits = tuple(b if isinstance(b, Budget) else Budget.parse(b) for b in budgets)
        return cls(tuple(Objective.parse(o) for o in objectives), limits, dict(worst or {}), prefer)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric that an evaluator has to deliver."""
        return tuple(dict.fromkeys([o.metric for o in self.objectives] + [b.metric for b in self.budgets]))

    def invalid_reason(self, metrics: object) -> str | None:
        """Why `metrics` cannot be used, with the value in the text; None when they can."""
        if isinstance(metrics, EvaluationFailed):
            return metrics.reason
        if not isinstance(metrics, Mapping):
            return f"the evaluator returned {metrics!r} instead of metrics"
        missing = [m for m in self.metrics if m not in metrics]
        if missing:
            return f"the evaluator returned no {missing[0]}, only {', '.join(map(str, metrics)) or 'nothing'}"
        return next((r for r in (_invalid_value(str(k), v) for k, v in metrics.items()) if r), None)

    def values_of(self, metrics: Metrics) -> TrialValues:
        """Objective values and constraints of metrics for which `invalid_reason` is None."""
        return TrialValues(
            objectives=tuple(float(metrics[o.metric]) for o in self.objectives),
            constraints={b.metric: b.violation(metrics) for b in self.budgets},
            penalty=math.prod(b.penalty(float(metrics[b.metric])) for b in self.budgets),
        )

    def minimised(self, values: Sequence[TrialValues]) -> NDArray[np.float64]:
        """Objective values (n, objectives), with the sign turned where the objective is maximised.

        Errors are multiplied by the penalty of soft budgets: an accuracy a counts as 1 - penalty (1 - a).
        """
        points = self._points(values)
        penalty = np.array([v.penalty for v in values])
        for axis, o in enumerate(self.objectives):
            if o.maximise:
                judged = 1 - penalty * (1 - points[:, axis])
                points[:, axis] = -np.where(penalty > 1, judged, points[:, axis])
            elif o.metric == "val_loss":
                points[:, axis] *= penalty
        return points

    def ranks(self, values: Sequence[TrialValues]) -> NDArray[np.int64]:
        """Non-dominated sorting with constraints (`pareto.ranks`): 0 is the best front.

        What keeps the budgets and is outside of the preferred part comes between what is inside and what does
        not keep them.
        """
        over = np.array([v.violation for v in values])
        outside = self.outside(values)
        over = np.where(over > 0, over + outside.max(initial=0.0), outside)
        return pareto.ranks(self.minimised(values), over)

    def outside(self, values: Sequence[TrialValues]) -> Array:
        """How far each is from the part of the front that is preferred, in lengths of the front: (n,).

        0 inside, without a preference, and where none keeps the budgets. The parts are
        `Preference.errors` and `costs` of the logarithms of the front of these values.
        """
        far = np.zeros(len(values))
        front = self.minimised(self.non_dominated(values))
        if self.prefer is None or not len(front):
            return far
        preferred = find_preference(self.prefer)
        points = self.minimised(values)
        for axis, o in enumerate(self.objectives):
            share = preferred.costs if base_metric(o.metric) in COSTS else preferred.errors
            offset = 1 if o.maximise else 0
            known, logs = (np.log(np.maximum(a[:, axis] + offset, _LEAST)) for a in (front, points))
            if share < 1 and np.ptp(known) > 0:
                far += np.maximum((logs - known.min()) / np.ptp(known) - share, 0.0)
        return far

    def places(self, values: Sequence[TrialValues]) -> NDArray[np.int64]:
        """The place of each from 0, the best: by rank, then by crowding distance within the rank."""
        points, ranks = self.minimised(values), self.ranks(values)
        crowding = np.zeros(len(values))
        for rank in np.unique(ranks):
            crowding[ranks == rank] = pareto.crowding(points[ranks == rank])
        places = np.empty(len(values), dtype=np.int64)
        places[np.lexsort((-crowding, ranks))] = np.arange(len(values))
        return places

    def non_dominated(self, values: Sequence[TrialValues]) -> list[TrialValues]:
        """The feasible ones that no other feasible one dominates."""
        feasible = [v for v in values if v.feasible]
        keep = pareto.non_dominated(self.minimised(feasible))
        return [v for v, kept in zip(feasible, keep, strict=True) if kept]

    def reference(self, first: Sequence[TrialValues]) -> dict[str, float]:
        """Per objective the value at which the hypervolume starts to count.

        It is 0 for an accuracy. For a cost it is the budget, else `worst`, else the largest value of
        `first`, the architectures of generation 0, so that it is fixed for the whole run.
        """
        largest = self._points(first).max(axis=0, initial=0.0)
        limits = {b.metric: b.largest for b in self.budgets}
        return {
            o.metric: 0.0 if o.maximise else limits.get(o.metric, self.worst.get(o.metric, float(top)))
            for o, top in zip(self.objectives, largest, strict=True)
        }

    def hypervolume(self, values: Sequence[TrialValues], reference: Mapping[str, float]) -> float:
        """Share of the box between the ideal (accuracy 1, cost 0) and `reference` that is dominated.

        Each cost is divided by its reference and each accuracy becomes 1 - accuracy, so that the box
        has side 1 and the share lies in 0..1. Only feasible points count.
        """
        points = self._points(self.non_dominated(values))
        for axis, o in enumerate(self.objectives):
            limit = reference[o.metric]
            points[:, axis] = 1 - points[:, axis] if o.maximise else points[:, axis] / (limit or 1.0)
        return pareto.hypervolume(points, np.ones(len(self.objectives)))

    def _points(self, values: Sequence[TrialValues]) -> NDArray[np.float64]:
        """Objective values as measured (n, objectives)."""
        return np.array([v.objectives for v in values], dtype=np.float64).reshape(-1, len(self.objectives))


def _invalid_value(name: str, value: object) -> str | None:
    """Why one metric is refused: not a number, not finite, or outside of what its name allows."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        return f"{name} is {value!r}, not a number"
    number = float(value)
    if not math.isfinite(number):
        return f"{name} is {number}, not finite"
    if number < 0 or ("accuracy" in name and number > 1):
        return f"{name} is {number}, outside of {'0..1' if 'accuracy' in name else '0 and above'}"
    return None
