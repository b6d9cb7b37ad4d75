"""What architectures are expected to be worth in a problem: a predicted error beside exactly known costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hwnas.core.arrays import Array
from hwnas.core.budget import COSTS, base_metric
from targets.errors import UsageError

from .history import Trial
from .objectives import Problem, TrialValues
from .strategy import CostsOf

if TYPE_CHECKING:
    from hwnas.core.choice import Arch

SMALLEST_ERROR = 1e-4
"""Errors are predicted by their logarithm, which this bounds."""


class Expectation:
    """Turns predicted errors into values of a problem whose other objectives are known.

    strategy: whose name the messages say.
    """

    def __init__(self, strategy: str, problem: Problem, costs_of: CostsOf | None) -> None:
        self.problem, self.predicted = problem, predicted_objective(strategy, problem)
        self.known = tuple(m for m in problem.metrics if m != self.predicted)
        if self.known and costs_of is None:
            raise UsageError(
                f"strategy {strategy!r} needs the costs of architectures before an evaluation "
                f"({', '.join(self.known)}); give costs_of"
            )
        self._costs_of = costs_of

    def log_error(self, trial: Trial) -> float:
        """Of a trial that did not fail."""
        return float(np.log(max(error_of(trial.metrics[self.predicted], self.predicted), SMALLEST_ERROR)))

    def values(self, archs: Sequence[Arch], log_errors: Array) -> list[TrialValues]:
        """What architectures are worth if their log errors are these: (n,)."""
        error = np.exp(log_errors)
        columns: dict[str, Array] = {}
        if self.known and self._costs_of is not None:
            costs = self._costs_of(archs)
            if missing := [m for m in self.known if m not in costs]:
                raise UsageError(f"the costs lack {missing[0]}, they have {', '.join(costs) or 'nothing'}")
            columns = {m: np.asarray(costs[m], dtype=np.float64) for m in self.known}
        columns[self.predicted] = 1 - error if "accuracy" in self.predicted else error
        rows = np.column_stack(list(columns.values())).tolist()
        return [self.problem.values_of(dict(zip(columns, row, strict=True))) for row in rows]

    def best(
        self, archs: Sequence[Arch], log_errors: Array, n: int, others: Sequence[TrialValues] = ()
    ) -> list[int]:
        """Indices of the `n` best: by constrained rank, then crowding, among themselves and `others`."""
        places = self.problem.places([*others, *self.values(archs, log_errors)])[len(others) :]
        return [int(i) for i in np.argsort(places, kind="stable")[:n]]


def error_of(value: float, metric: str) -> float:
    """An accuracy as an error; a loss as it is."""
    return 1 - value if "accuracy" in metric else value


def predicted_objective(strategy: str, problem: Problem) -> str:
    """The one objective that is no cost; UsageError where there is none, or more than one."""
    predicted = [o.metric for o in problem.objectives if base_metric(o.metric) not in COSTS]
    if len(predicted) != 1:
        raise UsageError(
            f"strategy {strategy!r} predicts exactly one objective, got {', '.join(predicted) or 'none'}; "
            f"give one of val_accuracy and val_loss, and costs beside it"
        )
    return predicted[0]
