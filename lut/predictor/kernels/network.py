"""The latency of a network from that of its kernels: a line, and an interval that networks not seen have set.

The profiler's own work is in each kernel's time and the runtime's in none, so that the sum is not the
network: `latency = slope * sum + per_kernel * n + intercept`, fitted on the *measured* kernels of the
profiled networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .features import Kernel
from .labels import Labelled
from .regress import KernelModel

Floats = NDArray[np.float64]

COVERAGE = 0.9
"""Share of the networks that an interval is to hold."""


@dataclass(frozen=True, slots=True)
class Overhead:
    """What turns the sum of kernels into the latency of the network."""

    slope: float
    per_kernel_ms: float
    intercept_ms: float

    def latency_ms(self, sum_ms: float, n: int) -> float:
        """The latency of a network of `n` kernels that take `sum_ms` together."""
        return max(self.slope * sum_ms + self.per_kernel_ms * n + self.intercept_ms, 1e-3 * sum_ms)


def fit_overhead(networks: Sequence[Labelled]) -> Overhead:
    """The least sum of relative errors over the networks' own measured kernels.

    Iteratively reweighted least squares; plain squares follow the networks of a few 100 us, which noise and
    the profiler's ticks put furthest off (ceiling on a model zoo 4.7 instead of 4.5 %).
    """
    sums = np.array([n.kernel_ms.sum() for n in networks])
    counts = np.array([len(n.kernels) for n in networks], dtype=np.float64)
    truth = np.array([n.latency_ms for n in networks])
    x = np.column_stack([sums, counts, np.ones(len(sums))]) / truth[:, None]
    importance = np.ones(len(truth))
    for _ in range(_REWEIGHTED):
        found = np.linalg.lstsq(x * importance[:, None], importance, rcond=None)[0]
        importance = 1 / np.sqrt(np.maximum(np.abs(x @ found - 1), _EXACT))
    return Overhead(*map(float, found))


_REWEIGHTED, _EXACT = 20, 0.005
"""Rounds; a relative error below which all count the same."""


def doubt(times_ms: Floats, log_spread: Floats) -> float:
    """How unsure a sum of kernels is, relative, up to a factor that `calibrated` finds.

    Errors of kernels of a network are half common (the network's caches) and half their own.
    """
    share = times_ms / times_ms.sum()
    own = float(np.sqrt(np.sum((share * log_spread) ** 2)))
    common = float(np.sum(share * log_spread))
    return float(np.sqrt(own * common))


def calibrated(errors: Floats, doubts: Floats) -> float:
    """The factor at which |relative error| <= factor * doubt holds for COVERAGE of the networks.

    Split conformal prediction (Lei et al. 2018): the rank is rounded up.
    """
    ratios = np.sort(np.abs(errors) / doubts)
    rank = min(len(ratios) - 1, int(np.ceil(COVERAGE * (len(ratios) + 1))) - 1)
    return float(ratios[rank])


def coverage(kernels: Sequence[Kernel], model: KernelModel, few: int) -> dict[str, int]:
    """Samples of each kind of kernel that occurs and of which fewer than `few` were profiled."""
    return {kind: n for kind in sorted({k.kind for k in kernels}) if (n := model.counts.get(kind, 0)) < few}
