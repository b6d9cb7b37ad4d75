"""Budgets: `latency_ms<=12`, `size_mb<=4`, soft ones `latency_ms<=12~2`, and per device `latency_ms@pi<=12`.

A search has one device or several. The latency on the first is the metric `latency_ms`, that on each other
`latency_ms@NAME`. NAME is that of the target, as its folder is called (`targets.files.safe_name`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from targets.errors import UsageError, did_you_mean
from targets.files import safe_name

METRICS = ("latency_ms", "macs", "params", "size_mb", "peak_memory_mb", "energy_mj")
"""What an architecture costs; `hwnas/costs/cost_model.py` needs tables for latency and energy only."""

LATENCY = "latency_ms"

RATIO = "latency_ratio"
"""The largest share that a latency has of its budget, over the devices: below 1 all are kept."""

COSTS = (*METRICS, RATIO)
"""What is known of an architecture before it is evaluated, and may be an objective."""


def base_metric(metric: str) -> str:
    """The metric without its device.

    >>> base_metric("latency_ms@pi")
    'latency_ms'
    """
    return metric.split("@", 1)[0]


def latency_metrics(devices: Sequence[str]) -> tuple[str, ...]:
    """The metric of the latency on each device, in order.

    >>> latency_metrics(["host", "pi"])
    ('latency_ms', 'latency_ms@pi')
    """
    return tuple(LATENCY if i == 0 else f"{LATENCY}@{name}" for i, name in enumerate(devices))


def metric_on_devices(metric: str, devices: Sequence[str], where: str) -> str:
    """The metric as a search on these devices calls it; UsageError, which begins with `where`, for others.

    >>> metric_on_devices("latency_ms@host", ["host", "pi"], "objective")
    'latency_ms'
    """
    _, at, device = metric.partition("@")
    if not at:
        return metric
    if device not in devices:
        raise UsageError(
            f"{where}: {device!r} is no device of this search; {did_you_mean(device, devices)}; give it by "
            "--target"
        )
    return latency_metrics(devices)[list(devices).index(device)]


@dataclass(frozen=True, slots=True)
class Budget:
    """An upper limit on a metric, in the unit that the metric's name says.

    margin: of a soft budget. Up to `limit + margin` it is kept, but the error of what is above the limit
        counts up to twice: (1 + excess / margin) times.

    >>> soft = Budget.parse("latency_ms<=12~2")
    >>> soft.violation({"latency_ms": 13.0}) <= 0, soft.penalty(13.0), soft.penalty(11.0)
    (True, 1.5, 1.0)
    """

    metric: str
    limit: float
    margin: float = 0.0

    def __post_init__(self) -> None:
        """Refuse unknown metrics and limits that are not positive finite numbers."""
        base, at, _ = self.metric.partition("@")
        if base not in METRICS:
            raise UsageError(f"budget on unknown metric {self.metric!r}; {did_you_mean(base, METRICS)}")
        if at and base != LATENCY:
            raise UsageError(
                f"budget on {self.metric!r}: only {LATENCY} may name a device, for {base} is the same on "
                f"all; leave '@…' away"
            )
        if not (math.isfinite(self.limit) and self.limit > 0):
            raise UsageError(f"budget {self}: the limit must be a finite number above 0")
        if not (math.isfinite(self.margin) and self.margin >= 0):
            raise UsageError(f"budget {self}: the margin after ~ must be a finite number from 0")

    @classmethod
    def parse(cls, text: str) -> Budget:
        """The budget that `text` says: `latency_ms<=12`, `latency_ms@pi<=12`; `=` is the same as `<=`."""
        match = re.fullmatch(
            r"\s*([a-z_]+)(?:@([^@<=≤]*))?\s*(?:<=|=|≤)\s*([^\s~]+)\s*(?:~\s*(\S+))?\s*", text
        )
        try:
            if match is None:
                raise ValueError
            device = "" if match[2] is None else f"@{safe_name(match[2].strip())}"
            return cls(match[1] + device, float(match[3]), float(match[4] or 0))
        except ValueError:
            raise UsageError(
                f"budget {text!r} must read METRIC<=NUMBER, as 'latency_ms<=12', or METRIC<=NUMBER~MARGIN; "
                f"metrics: {', '.join(METRICS)}"
            ) from None

    def on_devices(self, devices: Sequence[str]) -> Budget:
        """The same budget in a search on these devices; UsageError where it names another.

        >>> Budget.parse("latency_ms@host<=2").on_devices(["host", "pi"])
        Budget(metric='latency_ms', limit=2.0, margin=0.0)
        """
        return replace(self, metric=metric_on_devices(self.metric, devices, f"budget {self}"))

    def __str__(self) -> str:
        """The form that `parse` reads."""
        return f"{self.metric}<={self.limit:.12g}" + (f"~{self.margin:.12g}" if self.margin else "")

    @property
    def largest(self) -> float:
        """What is above this is over the budget."""
        return self.limit + self.margin

    def violation(self, costs: Mapping[str, float]) -> float:
        """Relative excess: 0 or less when the budget is met, 0.1 when it is missed by 10 %."""
        return costs[self.metric] / self.largest - 1

    def penalty(self, cost: float) -> float:
        """By how much an error is multiplied at this cost: 1 up to the limit, 2 at the end of the margin."""
        excess = cost - self.limit
        return 1.0 if excess <= 0 or not self.margin else 1 + min(excess / self.margin, 1.0)


def feasible(budgets: Sequence[Budget], costs: Mapping[str, float]) -> bool:
    """Whether every budget is met."""
    return all(b.violation(costs) <= 0 for b in budgets)
