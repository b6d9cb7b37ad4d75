"""What a search is after: objectives, budgets as constraints, and how far a set of points got.

`Goals.judge` is the one place that turns metrics into values *and* constraints, so that no trial
can exist without its constraints: Optuna 5 takes a trial that recorded none for feasible.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from hwnas.core.budget import METRICS, Budget
from targets.errors import UsageError, did_you_mean

from . import pareto

Metrics = Mapping[str, float]
"""What an evaluator found for one architecture: accuracies in 0..1, costs in the unit of their name."""

_MAXIMISED = ("val_accuracy",)
_MINIMISED = ("val_loss", *METRICS)


@dataclass(frozen=True, slots=True)
class Failed:
    """An evaluator's answer for an architecture that it could not evaluate, with the reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Objective:
    """One metric to make as large or as small as possible."""

    metric: str
    maximise: bool = False

    @classmethod
    def parse(cls, metric: str) -> Objective:
        """The objective for a known metric; a cost may name its target (`latency_ms@phone`)."""
        base = metric.split("@")[0]
        if base not in _MAXIMISED + _MINIMISED:
            raise UsageError(f"unknown objective {metric!r}; {did_you_mean(base, _MAXIMISED + _MINIMISED)}")
        return cls(metric, base in _MAXIMISED)


@dataclass(frozen=True, slots=True)
class Judged:
    """One architecture against the goals: a value per objective, a constraint per budget.

    values: as measured, in the order of the objectives. constraints: relative excess per
    budget, feasible at 0 and below.
    """

    values: tuple[float, ...]
    constraints: Mapping[str, float]

    @property
    def feasible(self) -> bool:
        """Whether every budget is kept."""
        return all(v <= 0 for v in self.constraints.values())


@dataclass(frozen=True)
class Goals:
    """Objectives and budgets of a search.

    worst: per objective without a budget the largest cost that counts for the hypervolume, e.g. the
        largest of the space; a metric that is absent here gets the largest value of generation 0.
    """

    objectives: tuple[Objective, ...]
    budgets: tuple[Budget, ...] = ()
    worst: Mapping[str, float] = field(default_factory=dict)

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
        for metric, limit in self.worst.items():
            if not (math.isfinite(limit) and limit > 0):
                raise UsageError(f"the worst {metric} must be finite and above 0, got {limit!r}")

    @classmethod
    def parse(
        cls, objectives: Sequence[str], budgets: Sequence[Budget] = (), worst: Metrics | None = None
    ) -> Goals:
        """Goals from the names of the objectives."""
        return cls(tuple(Objective.parse(o) for o in objectives), tuple(budgets), dict(worst or {}))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric an evaluator has to deliver."""
        return tuple(dict.fromkeys([o.metric for o in self.objectives] + [b.metric for b in self.budgets]))

    def refusal(self, metrics: object) -> str | None:
        """Why `metrics` cannot be used, with the value in the text; None when they can."""
        if isinstance(metrics, Failed):
            return metrics.reason
        if not isinstance(metrics, Mapping):
            return f"the evaluator returned {metrics!r} instead of metrics"
        missing = [m for m in self.metrics if m not in metrics]
        if missing:
            return f"the evaluator returned no {missing[0]}, only {', '.join(map(str, metrics)) or 'nothing'}"
        return next((r for r in (_bad_value(str(k), v) for k, v in metrics.items()) if r), None)

    def judge(self, metrics: Metrics) -> Judged:
        """Values and constraints of metrics that `refusal` let pass."""
        return Judged(
            tuple(float(metrics[o.metric]) for o in self.objectives),
            {b.metric: b.violation(metrics) for b in self.budgets},
        )

    def minimised(self, judged: Sequence[Judged]) -> NDArray[np.float64]:
        """Values with the sign turned where the objective is maximised: (n, objectives)."""
        sign = np.array([-1.0 if o.maximise else 1.0 for o in self.objectives])
        values = np.array([j.values for j in judged], dtype=np.float64).reshape(-1, len(sign))
        out: NDArray[np.float64] = values * sign
        return out

    def best(self, judged: Sequence[Judged]) -> list[Judged]:
        """The feasible ones that no other dominates."""
        kept = [j for j in judged if j.feasible]
        return [j for j, keep in zip(kept, pareto.non_dominated(self.minimised(kept)), strict=True) if keep]

    def reference(self, first: Sequence[Judged]) -> dict[str, float]:
        """Per objective the value at which the hypervolume starts to count.

        Accuracy 0; a cost's budget, else `worst`, else the largest of
        `first`, the architectures of generation 0, which makes it fixed for the whole run.
        """
        values = np.array([j.values for j in first], dtype=np.float64).reshape(-1, len(self.objectives))
        largest = values.max(axis=0, initial=0.0)
        limits = {b.metric: b.limit for b in self.budgets}
        return {
            o.metric: 0.0 if o.maximise else limits.get(o.metric, self.worst.get(o.metric, float(top)))
            for o, top in zip(self.objectives, largest, strict=True)
        }

    def hypervolume(self, judged: Sequence[Judged], reference: Mapping[str, float]) -> float:
        """Share of the box between the ideal (accuracy 1, cost 0) and `reference` that is dominated.

        Each cost is divided by its reference and each accuracy becomes 1 - accuracy, so that the box
        has side 1 and the value lies in 0..1. Only feasible points count.
        """
        best = self.best(judged)
        points = np.array([j.values for j in best], dtype=np.float64).reshape(-1, len(self.objectives))
        for axis, o in enumerate(self.objectives):
            limit = reference[o.metric]
            points[:, axis] = 1 - points[:, axis] if o.maximise else points[:, axis] / (limit or 1.0)
        return pareto.hypervolume(points, np.ones(len(self.objectives)))


def _bad_value(name: str, value: object) -> str | None:
    """Why one metric is refused: not a number, not finite, or outside of what its name allows."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        return f"{name} is {value!r}, not a number"
    number = float(value)
    if not math.isfinite(number):
        return f"{name} is {number}, not finite"
    if number < 0 or ("accuracy" in name and number > 1):
        return f"{name} is {number}, outside of {'0..1' if 'accuracy' in name else '0 and above'}"
    return None
