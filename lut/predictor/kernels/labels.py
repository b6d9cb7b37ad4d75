"""Rows of a profiler's job, as labelled kernels: what ran, what it took, and what the whole network took.

A sample counts as it is unless the reference network, run next to it, says that the device was at another
speed: where its median over a group of samples is off by more than the reference itself varies, the group is
scaled by it. Scaling every sample would add the reference's own noise, 2 to 10 % from session to session, to
times that repeat to 1 % (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lut.devices.measurement import SPEED_TOLERANCE
from profilers.kernels import Kernel, row_kernels
from profilers.neighbours import alone
from profilers.rows import MeasuredRow
from profilers.stats import Floats

from .features import KernelFeatures, features_of

QUANTILE = 0.35
"""Of all samples: low enough to leave disturbances out, high enough to repeat. Sums of kernels then follow
the whole network to 1.0 %, at the 20 % quantile to 1.5 %, unscaled, 31 networks of a model zoo."""

LEAST = 4
"""Samples of a network that must have been taken alone for the others to be left out: one pass."""

_SMALLEST_US = 0.5
"""Half of the profiler's clock tick: what a kernel that shows 0 us is taken for."""


@dataclass(frozen=True)
class Labelled:
    """One profiled network.

    key: its name in the job.
    kernels, features: (n,) in order of execution.
    kernel_ms: (n,) milliseconds of each kernel.
    latency_ms: of the whole network.
    half_split: how far the even and the odd samples of the whole network disagree, relative.
    n_samples: of the whole network.
    """

    key: str
    kernels: Sequence[Kernel]
    features: Sequence[KernelFeatures]
    kernel_ms: Floats
    latency_ms: float
    half_split: float
    n_samples: int


def labelled(rows: Iterable[MeasuredRow]) -> dict[str, Labelled]:
    """Networks by key of which there are rows of both kinds, `time` and `kernels`, over all passes."""
    rows = [row for row in rows if row["kind"] in ("time", "kernels")]
    if not rows:
        return {}
    fixed_ms = reference_ms(rows)
    whole, profiled = _by_key(rows, "time"), _by_key(rows, "kernels")
    networks = {}
    for key in sorted(whole.keys() & profiled.keys()):
        samples = _counting(whole[key], _clock, fixed_ms)
        kernel_us = _counting(profiled[key], _kernel_us, fixed_ms)
        halves = np.quantile(samples[::2], QUANTILE), np.quantile(samples[1::2], QUANTILE)
        kernels = row_kernels(profiled[key][-1])
        networks[key] = Labelled(
            key=key,
            kernels=kernels,
            features=features_of(kernels),
            kernel_ms=np.maximum(np.quantile(kernel_us, QUANTILE, axis=0), _SMALLEST_US) / 1e3,
            latency_ms=float(np.quantile(samples, QUANTILE)),
            half_split=float(abs(halves[0] / halves[1] - 1)),
            n_samples=len(samples),
        )
    return networks


def _by_key(rows: Iterable[MeasuredRow], kind: str) -> dict[str, list[MeasuredRow]]:
    by_key: dict[str, list[MeasuredRow]] = {}
    for row in rows:
        if row["kind"] == kind:
            by_key.setdefault(row["key"], []).append(row)
    return by_key


def _counting(
    rows: Sequence[MeasuredRow], samples_of: Callable[[MeasuredRow], Floats], fixed_ms: float
) -> Floats:
    """(n, ...) samples of all passes at the usual speed; only those taken alone where they are enough.

    The speed of a pass is that of its samples that count. A sample without a record of others was not alone.
    """
    others_cpus = [row.get("others_cpus") or [np.inf] * len(row["cpu_ms"]) for row in rows]
    mask = alone([cpus for of_row in others_cpus for cpus in of_row], LEAST)
    counts = [np.ones(len(cpus), bool) for cpus in others_cpus]
    if mask is not None:
        counts = np.split(mask, np.cumsum([len(cpus) for cpus in others_cpus])[:-1])
    kept = [(row, counting) for row, counting in zip(rows, counts, strict=True) if counting.any()]
    return np.concatenate(
        [samples_of(row)[counting] * speed_factor(row, counting, fixed_ms) for row, counting in kept]
    )


def reference_ms(rows: Iterable[MeasuredRow]) -> float:
    """The reference's usual time over all rows."""
    return float(np.median([row["reference_p50_ms"] for row in rows]))


def speed_factor(row: MeasuredRow, counting: NDArray[np.bool_], fixed_ms: float) -> float:
    """What a row's times are multiplied with to be those of the usual speed. counting: (n,) its samples.

    1 where the device did not run the reference beside each sample.
    """
    if not row["ratio"]:
        return 1.0
    reference = _clock(row) / np.asarray(row["ratio"], dtype=np.float64)
    ratio = fixed_ms / float(np.median(reference[counting]))
    return ratio if abs(np.log(ratio)) > np.log1p(SPEED_TOLERANCE) else 1.0


def _kernel_us(row: MeasuredRow) -> Floats:
    return np.asarray(row["kernel_us"], dtype=np.float64)


def _clock(row: MeasuredRow) -> Floats:
    return np.asarray(row["cpu_ms"] if row["clock"] == "cpu" else row["wall_ms"], dtype=np.float64)
