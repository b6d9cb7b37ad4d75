"""A predictor for a new device or context from that of a known one and a few measured networks.

Kernels keep their relative costs from device to device better than networks do, and ten networks hold
hundreds of kernels: each kind gets a factor on the known device's prediction, drawn to that of its family
and of all kernels where there are few of it (an empirical-Bayes mean), and kinds with enough samples trees
on what is left. HELP (Lee et al. 2021) shows that ten networks suffice for ranks; here they are for
milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lut.predictor.kernels.features import Kernel
from lut.predictor.kernels.fit import Fitted, judged, pooled
from lut.predictor.kernels.labels import Labelled
from lut.predictor.kernels.network import Overhead
from lut.predictor.kernels.regress import KernelModel

from .kernels import regress
from .latency_predictor import LatencyPredictor

Floats = NDArray[np.float64]

PRIOR = 8.0
"""Samples that the parent's mean counts for."""

STEPS = (0, 5, 10, 20)
"""Measured networks after which the error is shown."""

_LEAF = 10


def transferred(base: KernelModel, overhead: Overhead, networks: Sequence[Labelled], seed: int) -> Fitted:
    """The predictor of the context in which `networks` were measured, from `base` of another one.

    Without networks it is the known device's, unchanged.
    """
    if not networks:
        return Fitted(base, overhead, 1.0, {"networks": 0})
    model = _corrected(base, networks, seed)
    line = _scaled(overhead, networks)
    unseen = [
        _corrected(base, [n for n in networks if n is not left_out], seed).predict_ms(left_out.kernels)
        for left_out in networks
    ]
    return judged(model, line, networks, unseen)


def nearest(known: Sequence[LatencyPredictor], networks: Sequence[Labelled]) -> LatencyPredictor:
    """The predictor whose kernels differ from the measured ones by the most even factor.

    A device that is twice as slow in everything is near; one that is slow in convolutions alone is not.
    """
    kernels, times = pooled(networks)
    weight = np.sqrt(times)

    def unevenness(predictor: LatencyPredictor) -> float:
        log = np.log(times / predictor.model.predict_ms(kernels))
        return float(np.average(np.abs(log - np.median(log)), weights=weight))

    return min(known, key=unevenness)


def learning_curve(
    base: LatencyPredictor, networks: Sequence[Labelled], seed: int, steps: Sequence[int] = STEPS
) -> dict[str, float]:
    """Mean error in percent after so many measured networks, on those that were not used yet."""
    found = {}
    for n in [n for n in steps if n < len(networks)]:
        model = _corrected(base.model, networks[:n], seed)
        line = _scaled(base.overhead, networks[:n])
        rest = networks[n:]
        sums = [model.predict_ms(one.kernels) for one in rest]
        predicted = np.array([line.latency_ms(float(p.sum()), len(p)) for p in sums])
        found[str(n)] = float(100 * np.mean(np.abs(predicted / [one.latency_ms for one in rest] - 1)))
    return found


def _corrected(base: KernelModel, networks: Sequence[Labelled], seed: int) -> KernelModel:
    if not networks:
        return base
    kernels, times = pooled(networks)
    factors = _factors(kernels, np.log(times / base.predict_ms(kernels)), np.sqrt(times))
    rest = np.log(times / KernelModel(factors, {}, {}, {}, base).first_ms(kernels))
    trees = regress.fit_trees(kernels, rest, times, seed, _LEAF)
    spread = _spread(kernels, rest - np.log(regress.corrections(trees, kernels)))
    new = regress.counted(kernels)
    counts = {kind: base.counts.get(kind, 0) + new.get(kind, 0) for kind in {*base.counts, *new}}
    return KernelModel(factors, regress.as_onnx(trees, kernels), counts, {**base.spread, **spread}, base)


def _factors(kernels: Sequence[Kernel], log: Floats, weight: Floats) -> dict[str, tuple[float, ...]]:
    """The exponential of the shrunken mean of `log`, by kind and by family."""
    everything = float(np.average(log, weights=weight))
    found = {"memory": everything}
    for family in sorted({k.family for k in kernels}):
        rows = np.array([k.family == family for k in kernels])
        found[family] = _shrunken(log[rows], weight[rows], everything)
    for kind, rows, _ in regress.by_kind(kernels):
        found[kind] = _shrunken(log[rows], weight[rows], found[kernels[int(rows[0])].family])
    return {name: (float(np.exp(mean)),) for name, mean in found.items()}


def _shrunken(log: Floats, weight: Floats, parent: float) -> float:
    own = float(np.average(log, weights=weight))
    return (len(log) * own + PRIOR * parent) / (len(log) + PRIOR)


def _spread(kernels: Sequence[Kernel], rest: Floats) -> dict[str, float]:
    return {
        kind: float(np.sqrt(np.mean(np.square(rest[rows]))))
        for kind, rows, _ in regress.by_kind(kernels)
        if len(rows) >= regress.MIN_OF_KIND
    }


def _scaled(overhead: Overhead, networks: Sequence[Labelled]) -> Overhead:
    """The line of the known device times the factor that suits the networks' own kernels."""
    if not networks:
        return overhead
    ratios = [n.latency_ms / overhead.latency_ms(float(n.kernel_ms.sum()), len(n.kernels)) for n in networks]
    f = float(np.median(ratios))
    return Overhead(f * overhead.slope, f * overhead.per_kernel_ms, f * overhead.intercept_ms)
