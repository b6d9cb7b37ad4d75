"""The latency of a network from that of its kernels: a line, and an interval that networks not seen have set.

Kernel times include what the profiler itself takes, 1 to 3 us each, and omit what a run costs beside its
kernels: `latency = slope * sum + per_kernel * n + intercept`, fitted on the *measured* kernels of the
profiled networks. In a network of 0.05 ms the profiler takes most of that sum, so kernels are priced without
it (`without_profiler`): what is left of a network outside of its kernels is then the cost of a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from profilers.stats import Floats

from .feature_names import NAMES
from .labels import Labelled

LEAST_MS = 2e-5
"""What a kernel takes at least. The profiler counts whole microseconds, so some seem to take less than 0."""

FAMILIES = tuple(NAMES)

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


@dataclass(frozen=True, slots=True)
class ProfilerCost:
    """What the profiler adds to kernels, as `latency = slope * sum - cost of each kernel + intercept`.

    slope, intercept_ms: as of `Overhead`.
    per_kernel_ms: what the profiler takes of a kernel, by family: it notes the shapes of all inputs.
    """

    slope: float
    per_kernel_ms: Mapping[str, float]
    intercept_ms: float


NO_PROFILER = ProfilerCost(1.0, dict.fromkeys(FAMILIES, 0.0), 0.0)


def fit_profiler_cost(networks: Sequence[Labelled]) -> ProfilerCost:
    """The least sum of relative errors over the networks' own measured kernels.

    The costs per kernel of the families are drawn together, so that few networks do not drive them apart.
    """
    sums = np.array([n.kernel_ms.sum() for n in networks])
    truth = np.array([n.latency_ms for n in networks])
    counts = np.array([[sum(k.family == f for k in n.features) for f in FAMILIES] for n in networks])
    x = np.column_stack([sums, -counts, np.ones(len(sums))]) / truth[:, None]
    alike = np.zeros((len(FAMILIES) - 1, x.shape[1]))
    alike[:, 1] = -_ALIKE_PER_MS
    alike[:, 2 : 1 + len(FAMILIES)] = _ALIKE_PER_MS * np.eye(len(FAMILIES) - 1)
    slope, *per_kernel_ms, intercept_ms = _least_relative(x, alike)
    return ProfilerCost(slope, dict(zip(FAMILIES, per_kernel_ms, strict=True)), intercept_ms)


_ALIKE_PER_MS = 10.0
"""That families differ by 1 us per kernel is as unlikely as one network that is 1 % off."""


def _least_relative(x: Floats, prior: Floats) -> list[float]:
    """Non-negative weights w of the least sum of |x w - 1| over the rows; those of `prior` want 0 instead.

    Iteratively reweighted least squares; plain squares follow the networks of a few 100 us, which noise and
    the profiler's ticks put furthest off (ceiling on a model zoo 4.7 instead of 4.5 %). The profiler takes
    time and a run costs time, so neither has another sign.
    """
    from scipy.optimize import nnls

    importance = np.ones(len(x))
    for _ in range(_REWEIGHTED):
        rows = np.vstack([x * importance[:, None], prior])
        weights = nnls(rows, np.concatenate([importance, np.zeros(len(prior))]))[0]
        importance = 1 / np.sqrt(np.maximum(np.abs(x @ weights - 1), _EXACT))
    return [float(w) for w in weights]


_REWEIGHTED, _EXACT = 20, 0.005
"""Rounds; a relative error below which all count the same."""


def without_profiler(networks: Sequence[Labelled], cost: ProfilerCost) -> list[Labelled]:
    """The networks, their kernels' times less what the profiler takes. cost: of the kernels as measured."""
    return [replace(n, kernel_ms=_kernels_alone_ms(n, cost)) for n in networks]


def _kernels_alone_ms(network: Labelled, cost: ProfilerCost) -> Floats:
    profiler_ms = np.array([cost.per_kernel_ms[k.family] for k in network.features])
    alone_ms: Floats = np.maximum(cost.slope * network.kernel_ms - profiler_ms, LEAST_MS)
    return alone_ms


def of_run(cost: ProfilerCost) -> Overhead:
    """What is added to kernels without the profiler: the cost of a run."""
    return Overhead(1.0, 0.0, cost.intercept_ms)


def predicted_uncertainty(times_ms: Floats, log_spread: Floats, kinds: Sequence[str]) -> float:
    """How uncertain the logarithm of a sum of kernels is, up to the factor that `conformal_quantile` finds.

    times_ms, log_spread, kinds: (n,) per kernel. Errors of kernels of a network are half common (the
    network's caches) and half those of their kind, which its kernels share.
    """
    parts = times_ms / times_ms.sum() * log_spread
    _, kind = np.unique(np.asarray(kinds), return_inverse=True)
    independent = float(np.sqrt(np.sum(np.bincount(kind, parts) ** 2)))
    common = float(parts.sum())
    return float(np.sqrt(independent * common))


def faded_share(latency_ms: Floats | float, fades_ms: tuple[float, float]) -> Floats:
    """How much a model of small networks counts: 1 up to the first of `fades_ms`, 0 from the second on."""
    whole, none = fades_ms
    share = np.log(none / np.asarray(latency_ms)) / np.log(none / whole)
    return np.asarray(np.clip(share, 0.0, 1.0), dtype=np.float64)


def conformal_quantile(errors: Floats, uncertainties: Floats) -> float:
    """The q at which |error| <= q * predicted uncertainty holds for COVERAGE of the networks.

    errors, uncertainties: (n,) per network. Split conformal prediction (Lei et al. 2018): the rank is rounded
    up.
    """
    ratios = np.sort(np.abs(errors) / uncertainties)
    rank = min(len(ratios) - 1, int(np.ceil(COVERAGE * (len(ratios) + 1))) - 1)
    return float(ratios[rank])


STRATA_MS = (0.0, 0.1, 1.0, 3.0, 10.0)
"""Where classes of latency begin: errors of small networks are of another kind, so each has its own quantile
(Mondrian conformal prediction, Vovk et al. 2005). In one class from 1 ms on, networks of 1 to 2 ms lay inside
63 % of the time and those over 10 ms 98 % (docs/benchmarks.md, "Small networks")."""

_LEAST_OF_CLASS = 15


def class_quantiles(predicted_ms: Floats, truth_ms: Floats, uncertainties: Floats) -> tuple[float, ...]:
    """The conformal quantile of each class of latencies, with the classes beside it where it has too few."""
    errors = np.log(predicted_ms / truth_ms)
    classes = np.digitize(predicted_ms, STRATA_MS) - 1

    def quantile(number: int) -> float:
        distance = np.abs(classes - number)
        reach = np.sort(distance)[:_LEAST_OF_CLASS][-1]  # of the nearest so many; of all where they are fewer
        return conformal_quantile(errors[distance <= reach], uncertainties[distance <= reach])

    return tuple(map(quantile, range(len(STRATA_MS))))


def interval_ms(latency_ms: float, uncertainty: float, quantiles: Sequence[float]) -> tuple[float, float]:
    """The interval of a latency, as wide to either side on a logarithmic scale."""
    quantile = quantiles[int(np.digitize(latency_ms, STRATA_MS)) - 1]
    factor = float(np.exp(min(_ELSEWHERE * quantile * uncertainty, _WIDEST)))
    return latency_ms / factor, latency_ms * factor


_ELSEWHERE = 1.3
"""Networks from elsewhere are further off than generated ones that were left out: intervals without it held
74 to 84 % of them (docs/benchmarks.md). Chosen, not fitted."""

_WIDEST = 5.0
