"""Rows of a profiler's job, as labelled kernels: what ran, what it took, and what the whole network took.

A sample counts as it is unless the reference network, run next to it, says that the device was at another
speed: where its median over a group of samples is off by more than the reference itself varies, the group is
scaled by it. Scaling every sample would add the reference's own noise, 2 to 10 % from session to session, to
times that repeat to 1 % (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lut.devices.measurement import SPEED_TOLERANCE
from profilers.neighbours import alone

from .features import Kernel, kernels_of

Floats = NDArray[np.float64]
Row = Mapping[str, Any]

QUANTILE = 0.35
"""Of all samples: low enough to leave disturbances out, high enough to repeat. Sums of kernels then follow
the whole network to 1.0 %, at the 20 % quantile to 1.5 %, unscaled, 31 networks of a model zoo."""

LEAST = 4
"""Samples of a network that must have been taken alone for the others to be left out: one pass."""

_SMALLEST_US = 0.5
"""Half of the profiler's clock tick: what a kernel that shows 0 us is taken for."""


@dataclass(frozen=True)
class Labelled:
    """One profiled network: its kernels, milliseconds of each (n,), and of the whole network."""

    key: str
    described: Sequence[Mapping[str, Any]]
    kernels: Sequence[Kernel]
    kernel_ms: Floats
    latency_ms: float
    half_split: float
    n_samples: int


def labelled(rows: Iterable[Row]) -> dict[str, Labelled]:
    """Networks by key of which there are rows of both kinds, `time` and `kernels`, over all passes."""
    rows = [row for row in rows if row["kind"] in ("time", "kernels")]
    if not rows:
        return {}
    fixed_ms = reference_ms(rows)
    times, kernels = _by_key(rows, "time"), _by_key(rows, "kernels")
    found = {}
    for key in sorted(times.keys() & kernels.keys()):
        samples = _counting(times[key], _clock, fixed_ms)
        parts = _counting(kernels[key], lambda row: np.asarray(row["kernel_us"], dtype=np.float64), fixed_ms)
        halves = np.quantile(samples[::2], QUANTILE), np.quantile(samples[1::2], QUANTILE)
        described = kernels[key][-1]["kernels"]
        found[key] = Labelled(
            key,
            described,
            kernels_of(described),
            np.maximum(np.quantile(parts, QUANTILE, axis=0), _SMALLEST_US) / 1e3,
            float(np.quantile(samples, QUANTILE)),
            float(abs(halves[0] / halves[1] - 1)),
            len(samples),
        )
    return found


def _by_key(rows: Iterable[Row], kind: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row["kind"] == kind:
            found.setdefault(row["key"], []).append(row)
    return found


def _counting(rows: Sequence[Row], of: Callable[[Row], Floats], fixed_ms: float) -> Floats:
    """(n, ...) samples of all passes at the usual speed; only those taken alone where they are enough.

    A pass's speed is that of its samples that count. Where nobody tells who ran beside one, it was not alone.
    """
    told = [row.get("others_cpus") or [np.inf] * len(row["cpu_ms"]) for row in rows]
    mask = alone([cpus for of_row in told for cpus in of_row], LEAST)
    counts = [np.ones(len(cpus), bool) for cpus in told]
    if mask is not None:
        counts = np.split(mask, np.cumsum([len(cpus) for cpus in told])[:-1])
    kept = [(row, counting) for row, counting in zip(rows, counts, strict=True) if counting.any()]
    return np.concatenate(
        [of(row)[counting] * speed_factor(row, counting, fixed_ms) for row, counting in kept]
    )


def reference_ms(rows: Iterable[Row]) -> float:
    """The reference's usual time over all rows."""
    return float(np.median([row["reference_p50_ms"] for row in rows]))


def speed_factor(row: Row, counting: NDArray[np.bool_], fixed_ms: float) -> float:
    """What a row's times are multiplied with to be those of the usual speed. counting: (n,) its samples."""
    reference = _clock(row) / np.asarray(row["ratio"], dtype=np.float64)
    ratio = fixed_ms / float(np.median(reference[counting]))
    return ratio if abs(np.log(ratio)) > np.log1p(SPEED_TOLERANCE) else 1.0


def _clock(row: Row) -> Floats:
    return np.asarray(row["cpu_ms"] if row["clock"] == "cpu" else row["wall_ms"], dtype=np.float64)
