"""Budgets: `latency_ms<=12`, `size_mb<=4`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from targets.errors import UsageError, did_you_mean

METRICS = ("latency_ms", "macs", "params", "size_mb", "peak_memory_mb", "energy_mj")
"""What an architecture costs; `hwnas/costs/cost_model.py` needs tables for latency and energy only."""


@dataclass(frozen=True, slots=True)
class Budget:
    """An upper limit on a metric, in the unit that the metric's name says."""

    metric: str
    limit: float

    def __post_init__(self) -> None:
        """Refuse unknown metrics and limits that are not positive finite numbers."""
        if self.metric not in METRICS:
            raise UsageError(
                f"budget on unknown metric {self.metric!r}; {did_you_mean(self.metric, METRICS)}"
            )
        if not (math.isfinite(self.limit) and self.limit > 0):
            raise UsageError(f"budget {self}: the limit must be a finite number above 0")

    @classmethod
    def parse(cls, text: str) -> Budget:
        """The budget that `text` says, as `latency_ms<=12`; `latency_ms=12` is the same."""
        match = re.fullmatch(r"\s*([a-z_]+)\s*(?:<=|=|≤)\s*(\S+)\s*", text)
        try:
            if match is None:
                raise ValueError
            return cls(match[1], float(match[2]))
        except ValueError:
            raise UsageError(
                f"budget {text!r} must read METRIC<=NUMBER, as 'latency_ms<=12'; "
                f"metrics: {', '.join(METRICS)}"
            ) from None

    def __str__(self) -> str:
        """The form that `parse` reads."""
        return f"{self.metric}<={self.limit:.12g}"

    def violation(self, costs: Mapping[str, float]) -> float:
        """Relative excess: 0 or less when the budget is met, 0.1 when it is missed by 10 %."""
        return costs[self.metric] / self.limit - 1


def feasible(budgets: Sequence[Budget], costs: Mapping[str, float]) -> bool:
    """Whether every budget is met."""
    return all(b.violation(costs) <= 0 for b in budgets)
