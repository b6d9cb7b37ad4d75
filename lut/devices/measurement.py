"""The latency of a network, and the fixed speed at which latencies of different days are compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from targets import Target
from targets.errors import DamagedFileError
from targets.files import read_json, write_json

from .device import device_context, tables_folder

SPEED_TOLERANCE = 0.25
"""How far the reference may be off its first level before times are scaled by it (docs/benchmarks.md)."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """The latency of one network, in milliseconds per run.

    Its samples lie between samples of the other networks of the job. All times are scaled where the reference
    network ran at another speed than when this context was first measured.

    p20_ms, p50_ms: quantiles over the undisturbed samples.
    p90_ms: quantile over all samples.
    ci_low_ms, ci_high_ms: 95 % interval of p50.
    clock: `cpu` (the CPU time of the thread; one thread only) or `wall`.
    flag: `ok`, or `unstable` where the number should not be trusted to a few percent.
    n: number of samples.
    reason: why it is `unstable`, with figures; '' where it is `ok`.
    """

    p20_ms: float
    p50_ms: float
    p90_ms: float
    ci_low_ms: float
    ci_high_ms: float
    clock: str
    flag: str
    n: int
    reason: str = ""


class ReferenceSpeed:
    """The speed of a device: the median of its reference network when its context was first measured.

    It is stored in `reference/<hash>.json` beside the tables of the target.
    """

    def __init__(self, home: Path, target: Target) -> None:
        """Ask the device for its context. No file is read or written yet."""
        context = device_context(target, "")
        self._context = context
        self._path = tables_folder(home, target) / "reference" / f"{context.hash}.json"

    def fixed_ms(self, measured_ms: float) -> float:
        """The stored median; on the first use, `measured_ms` is stored as such."""
        if not self._path.exists():
            write_json(self._path, {"p50_ms": measured_ms, "facts": dict(self._context.facts)})
            return measured_ms
        return reference_level_ms(
            read_json(self._path, "reference level of the target"), f"reference level {self._path}"
        )

    def normalise(self, row: Mapping[str, Any]) -> Measurement:
        """A profiler's row at the fixed speed of the reference.

        Times are scaled only where the reference is off by more than SPEED_TOLERANCE. From session to session
        it varies by 10 %, by where its memory lies. Such shifts say nothing of other networks (correlation
        0.2), so dividing by them would add noise. A device at another clock frequency is off by more.
        """
        factor = self.fixed_ms(row["reference_p50_ms"]) / row["reference_p50_ms"]
        if abs(math.log(factor)) <= math.log1p(SPEED_TOLERANCE):
            factor = 1.0
        p50 = row["p50_ms"] * factor
        return Measurement(
            p20_ms=row["p20_ms"] * factor,
            p50_ms=p50,
            p90_ms=max(row["p90_ms"] * factor, p50),
            ci_low_ms=min(row["ci_low_ms"] * factor, p50),
            ci_high_ms=max(row["ci_high_ms"] * factor, p50),
            clock=row["clock"],
            flag=row["flag"],
            n=row["n"],
            reason=row.get("reason", ""),
        )


def reference_level_ms(document: Any, where: str) -> float:
    """The median in the document of a reference level; DamagedFileError names `where` it is wrong."""
    value = document.get("p50_ms") if isinstance(document, Mapping) else None
    if not isinstance(value, float) or not 0 < value < 1e6:
        raise DamagedFileError(f"{where}: p50_ms is {value!r}, not a time; restore or delete the file")
    return value
