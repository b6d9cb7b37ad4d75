"""The latency of a network from that of its kernels: a line, and an interval that networks not seen have set.

Kernel times include profiler overhead and omit runtime overhead, so their sum differs from the network's
latency: `latency = slope * sum + per_kernel * n + intercept`, fitted on the *measured* kernels of the
profiled networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from profilers.stats import Floats

from .labels import Labelled

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
        return max(self.line_ms(sum_ms, n), _LEAST * sum_ms)

    def line_ms(self, sum_ms: float, n: int) -> float:
        """The same before it is kept above the share of the kernels that is theirs for sure."""
        return self.slope * sum_ms + self.per_kernel_ms * n + self.intercept_ms


_LEAST = 0.5
"""Share of its kernels' times that a network takes at least: the line is fitted on networks of a millisecond,
and goes below 0 for those of a few kernels, half of whose times is the profiler's."""


def fit_overhead(networks: Sequence[Labelled]) -> Overhead:
    """The least sum of relative errors over the networks' own measured kernels.

    Iteratively reweighted least squares; plain squares follow the networks of a few 100 us, which noise and
    the profiler's ticks put furthest off (ceiling on a model zoo 4.7 instead of 4.5 %).
    """
    sums = np.array([n.kernel_ms.sum() for n in networks])
    counts = np.array([len(n.features) for n in networks], dtype=np.float64)
    truth = np.array([n.latency_ms for n in networks])
    x = np.column_stack([sums, counts, np.ones(len(sums))]) / truth[:, None]
    importance = np.ones(len(truth))
    for _ in range(_REWEIGHTED):
        weights = np.linalg.lstsq(x * importance[:, None], importance, rcond=None)[0]
        importance = 1 / np.sqrt(np.maximum(np.abs(x @ weights - 1), _EXACT))
    slope, per_kernel_ms, intercept_ms = map(float, weights)
    return Overhead(slope, per_kernel_ms, intercept_ms)


_REWEIGHTED, _EXACT = 20, 0.005
"""Rounds; a relative error below which all count the same."""


def predicted_uncertainty(times_ms: Floats, log_spread: Floats) -> float:
    """How uncertain a sum of kernels is, relative, up to the factor that `conformal_quantile` finds.

    times_ms, log_spread: (n,) per kernel. Errors of kernels of a network are half common (the network's
    caches) and half their own.
    """
    share = times_ms / times_ms.sum()
    independent = float(np.sqrt(np.sum((share * log_spread) ** 2)))
    common = float(np.sum(share * log_spread))
    return float(np.sqrt(independent * common))


def conformal_quantile(errors: Floats, uncertainties: Floats) -> float:
    """The q at which |relative error| <= q * predicted uncertainty holds for COVERAGE of the networks.

    errors, uncertainties: (n,) per network. Split conformal prediction (Lei et al. 2018): the rank is rounded
    up.
    """
    ratios = np.sort(np.abs(errors) / uncertainties)
    rank = min(len(ratios) - 1, int(np.ceil(COVERAGE * (len(ratios) + 1))) - 1)
    return float(ratios[rank])
