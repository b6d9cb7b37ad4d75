"""From profiled networks to a predictor, and how far off it is on networks that it has not seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profilers.stats import Floats
from targets.errors import TargetError

from . import regress
from .features import NAMES, KernelFeatures
from .labels import Labelled
from .model import UNKNOWN, KernelModel, ranges
from .network import (
    NO_PROFILER,
    Overhead,
    ProfilerCost,
    class_quantiles,
    fit_profiler_cost,
    of_run,
    predicted_uncertainty,
    without_profiler,
)
from .regress import TICK_MS
from .small import fit_scales, pooled
from .whole import fit_whole, left_out_factors, network_features, whole_as_onnx

Folds = NDArray[np.int64]
"""(n,) the fold of each network."""

FOLDS = 4
MIN_NETWORKS = 10


@dataclass(frozen=True)
class Fitted:
    """The fitted parts of a predictor.

    model, overhead, quantiles, whole: see LatencyPredictor.
    errors: of networks left out of the fit, in percent.
    profiler: from the kernels as measured, with what the profiler takes, to networks.
    """

    model: KernelModel
    overhead: Overhead
    quantiles: Sequence[float]
    errors: Mapping[str, Any]
    whole: bytes | None = None
    profiler: ProfilerCost = NO_PROFILER


def fit_networks(networks: Sequence[Labelled], seed: int) -> Fitted:
    """The predictor's parts; each network is predicted once by a model of the others, for the errors."""
    if len(networks) < MIN_NETWORKS:
        raise TargetError(
            f"only {len(networks)} networks were measured, a predictor needs {MIN_NETWORKS}; "
            "give more minutes, or quiet the machine"
        )
    cost = fit_profiler_cost([n for n in networks if is_usual(n)] or networks)
    networks = without_profiler(networks, cost)
    folds = np.random.default_rng([seed, 0xF01D]).permutation(len(networks)) % FOLDS
    unseen = _left_out(networks, folds, seed)
    features, times = pooled(networks)
    scales = fit_scales(networks, seed)
    large = scales.large.as_onnx(features)
    model = KernelModel(
        rooflines=large.rooflines,
        trees=large.trees,
        counts=regress.counted(features),
        spread=_spread(networks, unseen) | _unknown_spread(large.rooflines, features, times),
        ranges=ranges(features),
        tick_ms=TICK_MS,
        small=scales.small.as_onnx(features),
    )
    run = of_run(cost)
    usual = usual_rows(networks)
    networks, unseen = [networks[i] for i in usual], [unseen[i] for i in usual]
    whole, factors = _whole(networks, unseen, run, folds[usual], seed)
    return replace(judged(model, run, networks, unseen, factors), whole=whole, profiler=cost)


def _whole(
    networks: Sequence[Labelled], unseen: Sequence[Floats], run: Overhead, folds: Folds, seed: int
) -> tuple[bytes | None, Floats]:
    """(the correction of whole networks, (n,) the factor of each by a correction that has not seen it)."""
    predicted = np.array([run.latency_ms(float(p.sum()), len(p)) for p in unseen])
    truth = np.array([n.latency_ms for n in networks])
    rows = [
        network_features(n.features, p, float(ms))
        for n, p, ms in zip(networks, unseen, predicted, strict=True)
    ]
    trees = fit_whole(rows, predicted, truth, seed)
    return whole_as_onnx(trees), left_out_factors(rows, predicted, truth, folds, seed)


def judged(
    model: KernelModel,
    overhead: Overhead,
    networks: Sequence[Labelled],
    predicted_ms: Sequence[Floats],
    factors: Floats | float = 1.0,
) -> Fitted:
    """The parts with their errors.

    predicted_ms, factors: kernels of each network, and what corrects it, by models that have not seen it.
    """
    predicted = np.array([overhead.latency_ms(float(p.sum()), len(p)) for p in predicted_ms]) * factors
    truth = np.array([n.latency_ms for n in networks])
    pairs = zip(networks, predicted_ms, strict=True)
    uncertainties = np.array([uncertainty_of(model, n.features, p) for n, p in pairs])
    from_measured = np.array(
        [overhead.latency_ms(float(n.kernel_ms.sum()), len(n.features)) for n in networks]
    )
    return Fitted(
        model=model,
        overhead=overhead,
        quantiles=class_quantiles(predicted, truth, uncertainties),
        errors={
            **summary(predicted, truth),
            "ceiling_mape_pct": float(100 * np.abs(from_measured / truth - 1).mean()),
            "noise_pct": float(100 * np.mean([n.half_split for n in networks])),
            "networks": len(networks),
            "kernels": int(sum(len(n.features) for n in networks)),
        },
    )


def uncertainty_of(model: KernelModel, features: Sequence[KernelFeatures], times_ms: Floats) -> float:
    """The predicted uncertainty of a network of these kernels, whose predicted times are (n,)."""
    return predicted_uncertainty(times_ms, model.log_spread(features), [k.kind for k in features])


def usual_rows(networks: Sequence[Labelled]) -> list[int]:
    """Which networks errors are judged on: the usual ones, all where none is."""
    return [i for i, n in enumerate(networks) if is_usual(n)] or list(range(len(networks)))


def is_usual(network: Labelled) -> bool:
    """Whether it has few results; to hand over many costs more than the kernels of a small network."""
    return sum(len(kernel.results) for kernel in network.kernels) <= _FEW_RESULTS


_FEW_RESULTS = 6


def summary(predicted: Floats, truth: Floats) -> dict[str, float]:
    """The figures of the field: mean error, shares within 5 and 10 %, rank correlation."""
    from scipy.stats import spearmanr

    off = 100 * np.abs(predicted / truth - 1)
    return {
        "mape_pct": float(off.mean()),
        "median_pct": float(np.median(off)),
        "within_5_pct": float(100 * (off <= 5).mean()),
        "within_10_pct": float(100 * (off <= 10).mean()),
        "spearman": float(spearmanr(predicted, truth).statistic),
    }


def _left_out(networks: Sequence[Labelled], folds: Folds, seed: int) -> list[Floats]:
    """Kernel times of each network, by a model of the networks of other folds."""
    kernel_ms: list[Floats] = [np.empty(0)] * len(networks)
    for fold in range(FOLDS):
        fitted = fit_scales([n for n, f in zip(networks, folds, strict=True) if f != fold], seed)
        for i in map(int, np.flatnonzero(folds == fold)):
            kernel_ms[i] = fitted.predict_ms(networks[i].features)
    return kernel_ms


def _spread(networks: Sequence[Labelled], unseen: Sequence[Floats]) -> dict[str, float]:
    """Root mean square of log(measured / predicted) by kind, where there are enough."""
    rest: dict[str, list[float]] = defaultdict(list)
    for network, predicted in zip(networks, unseen, strict=True):
        off = np.log((network.kernel_ms + TICK_MS) / (predicted + TICK_MS))
        for kernel, log in zip(network.features, off, strict=True):
            rest[kernel.kind].append(log)
    return {kind: rms(logs) for kind, logs in rest.items() if len(logs) >= regress.MIN_OF_KIND}


def _unknown_spread(
    rooflines: Mapping[str, Any], features: Sequence[KernelFeatures], times_ms: Floats
) -> dict[str, float]:
    """How far kinds are off their family's roofline: what a kind may be off that was never profiled."""
    families: dict[str, list[float]] = defaultdict(list)
    of_family = {name: rooflines[name] for name in NAMES if name in rooflines}
    off = np.log((times_ms + TICK_MS) / regress.roof_ms(of_family, features))
    for _, rows, _ in regress.by_kind(features):
        families[features[int(rows[0])].family].append(rms(off[rows]))
    return {f"{UNKNOWN} {family}": rms(logs) for family, logs in families.items()}


def rms(values: Sequence[float] | Floats) -> float:
    """The root mean square."""
    return float(np.sqrt(np.mean(np.square(values))))
