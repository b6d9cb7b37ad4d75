"""A predictor for a new device or context from that of a known one and a few measured networks.

Kernels keep their relative costs from device to device better than networks do, and ten networks hold
hundreds of kernels. Each kind gets a factor on the known device's prediction; a kind with few samples is
drawn to the factor of its family and of all kernels (an empirical-Bayes mean). Kinds with enough samples also
get trees on what is left. HELP (Lee et al. 2021) shows that ten networks suffice to predict ranks; here they
predict milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from lut.predictor.kernels.features import KernelFeatures
from lut.predictor.kernels.fit import Fitted, judged, rms, usual_rows
from lut.predictor.kernels.labels import Labelled
from lut.predictor.kernels.model import KernelModel, Ranges, ranges
from lut.predictor.kernels.network import STRATA_MS, Overhead
from lut.predictor.kernels.small import pooled
from profilers.stats import Floats

from .kernels import regress
from .latency_predictor import LatencyPredictor

T = TypeVar("T")

PRIOR = 8.0
"""Samples that the parent's mean counts for."""

STEPS = (0, 5, 10, 20)
"""Measured networks after which the error is shown."""

_GROWTH = regress.TreeGrowth(leaf=10)


def transferred(base: KernelModel, overhead: Overhead, networks: Sequence[Labelled], seed: int) -> Fitted:
    """The predictor of the context in which `networks` were measured.

    base, overhead: of the known device; without networks they come back unchanged.
    """
    if not networks:
        quantiles = (1.0,) * len(STRATA_MS)
        return Fitted(model=base, overhead=overhead, quantiles=quantiles, errors={"networks": 0})
    known_ms = [base.predict_ms(n.features) for n in networks]
    model = _corrected(base, networks, known_ms, seed)
    line = _scaled(overhead, networks)
    unseen = [
        _corrected(base, _but(networks, i), _but(known_ms, i), seed).predict_ms(left_out.features)
        for i, left_out in enumerate(networks)
    ]
    usual = usual_rows(networks)
    return judged(model, line, [networks[i] for i in usual], [unseen[i] for i in usual])


def nearest(known: Sequence[LatencyPredictor], networks: Sequence[Labelled]) -> LatencyPredictor:
    """The predictor from which the measured kernels differ by the most even factor.

    A device that is twice as slow in everything is near; one that is slow in convolutions alone is not.
    """
    times = np.concatenate([n.kernel_ms for n in networks])
    weight = np.sqrt(times)

    def unevenness(predictor: LatencyPredictor) -> float:
        log = np.log(times / np.concatenate([predictor.model.predict_ms(n.features) for n in networks]))
        return float(np.average(np.abs(log - np.median(log)), weights=weight))

    return min(known, key=unevenness)


def learning_curve(
    base: LatencyPredictor, networks: Sequence[Labelled], seed: int, steps: Sequence[int] = STEPS
) -> dict[str, float]:
    """Mean error in percent after so many measured networks, on those that were not used yet."""
    error_pct = {}
    known_ms = [base.model.predict_ms(network.features) for network in networks]
    for n in [n for n in steps if n < len(networks)]:
        model = _corrected(base.model, networks[:n], known_ms[:n], seed)
        line = _scaled(base.overhead, networks[:n])
        rest = networks[n:]
        kernel_ms = [model.predict_ms(network.features) for network in rest]
        predicted = np.array([line.latency_ms(float(ms.sum()), len(ms)) for ms in kernel_ms])
        error_pct[str(n)] = float(100 * np.mean(np.abs(predicted / [n.latency_ms for n in rest] - 1)))
    return error_pct


def _but(items: Sequence[T], i: int) -> list[T]:
    """All but the i-th."""
    return [*items[:i], *items[i + 1 :]]


def _corrected(
    base: KernelModel, networks: Sequence[Labelled], known_ms: Sequence[Floats], seed: int
) -> KernelModel:
    """known_ms: (n,) of each network, what the base predicts of its kernels."""
    if not networks:
        return base
    features, times = pooled(networks)
    log = np.log(times / np.concatenate(known_ms))
    factors = _factors(features, log, np.sqrt(times))
    rest = log - np.log([regress.roofline_of(factors, kernel)[0] for kernel in features])
    trees = regress.fit_trees(features, rest, times, seed, _GROWTH)
    spread = _spread(features, rest - np.log(regress.corrections(trees, features)))
    new = regress.counted(features)
    counts = {kind: base.counts.get(kind, 0) + new.get(kind, 0) for kind in {*base.counts, *new}}
    return KernelModel(
        rooflines=factors,
        trees=regress.as_onnx(trees, features),
        counts=counts,
        spread={**base.spread, **spread},
        base=base,
        ranges=_joined(base.ranges, ranges(features)),
    )


def _joined(first: Ranges, second: Ranges) -> Ranges:
    """The wider of both, by kind."""
    both = {**first, **second}
    for kind in first.keys() & second.keys():
        (low, high), (lower, higher) = first[kind], second[kind]
        both[kind] = (tuple(map(min, low, lower)), tuple(map(max, high, higher)))
    return both


def _factors(features: Sequence[KernelFeatures], log: Floats, weight: Floats) -> dict[str, tuple[float, ...]]:
    """The exponential of the shrunken mean of `log`, by kind and by family."""
    everything = float(np.average(log, weights=weight))
    means = {"memory": everything}
    for family in sorted({k.family for k in features}):
        rows = np.array([k.family == family for k in features])
        means[family] = _shrunken(log[rows], weight[rows], everything)
    for kind, rows, _ in regress.by_kind(features):
        means[kind] = _shrunken(log[rows], weight[rows], means[features[int(rows[0])].family])
    return {name: (float(np.exp(mean)),) for name, mean in means.items()}


def _shrunken(log: Floats, weight: Floats, parent: float) -> float:
    mean = float(np.average(log, weights=weight))
    return (len(log) * mean + PRIOR * parent) / (len(log) + PRIOR)


def _spread(features: Sequence[KernelFeatures], rest: Floats) -> dict[str, float]:
    return {
        kind: rms(rest[rows])
        for kind, rows, _ in regress.by_kind(features)
        if len(rows) >= regress.MIN_OF_KIND
    }


def _scaled(overhead: Overhead, networks: Sequence[Labelled]) -> Overhead:
    """The line of the known device times the factor that suits the networks' own kernels."""
    if not networks:
        return overhead
    ratios = [n.latency_ms / overhead.latency_ms(float(n.kernel_ms.sum()), len(n.features)) for n in networks]
    ratio = float(np.median(ratios))
    return Overhead(ratio * overhead.slope, ratio * overhead.per_kernel_ms, ratio * overhead.intercept_ms)
