"""What a Bayesian search is asked and told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hwnas.core.choice import Arch


@dataclass(frozen=True, slots=True)
class Observation:
    """One evaluation. error: smaller is better, at least 0; None where the evaluation failed."""

    arch: Arch
    error: float | None


@dataclass(frozen=True, slots=True)
class Sought:
    """What is sought besides a small error, in metrics that are known without an evaluation.

    known: the metrics to make small.
    limits: budgets, on known metrics or others; no proposal exceeds one.
    worst: the largest value that counts for the hypervolume, per known metric without a budget. A metric that
        is absent here gets the largest value of a random sample of the space.
    soft: (limit, margin) of budgets that are soft: from the limit to the end of the margin, which is in
        `limits`, an error counts up to twice.
    errors, costs: shares of the ranges of error and costs in which improvements count, from the best on.
    """

    known: tuple[str, ...]
    limits: Mapping[str, float]
    worst: Mapping[str, float]
    soft: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    errors: float = 1.0
    costs: float = 1.0

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric that has to be known, those to make small first."""
        return tuple(dict.fromkeys([*self.known, *self.limits]))

    def ends(self, largest: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where the hypervolume ends, per known metric, given the largest values that were met: (m,)."""
        ends = [
            self.limits.get(metric, self.worst.get(metric, float(value)))
            for metric, value in zip(self.known, largest, strict=True)
        ]
        return np.array(ends, dtype=np.float64)
