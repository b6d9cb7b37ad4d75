"""From profiled networks to a predictor, and how far off it is on networks that it has not seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from profilers.stats import Floats
from targets.errors import TargetError

from . import regress
from .features import KernelFeatures
from .labels import Labelled
from .network import Overhead, conformal_quantile, fit_overhead, predicted_uncertainty
from .regress import KernelModel

FOLDS = 4
MIN_NETWORKS = 10
MIN_OF_KIND = 8


@dataclass(frozen=True)
class Fitted:
    """The fitted parts of a predictor.

    model, overhead, conformal_quantile: see LatencyPredictor.
    errors: of networks left out of the fit, in percent.
    """

    model: KernelModel
    overhead: Overhead
    conformal_quantile: float
    errors: Mapping[str, Any]


def fit_networks(networks: Sequence[Labelled], seed: int) -> Fitted:
    """The predictor's parts; each network is predicted once by a model of the others, for the errors."""
    if len(networks) < MIN_NETWORKS:
        raise TargetError(
            f"only {len(networks)} networks were measured, a predictor needs {MIN_NETWORKS}; "
            "give more minutes, or quiet the machine"
        )
    overhead = fit_overhead(networks)
    unseen = _left_out(networks, seed)
    spread = _spread(networks, unseen)
    features, times = pooled(networks)
    forests = regress.fit(features, times, seed)
    model = KernelModel(
        rooflines=forests.rooflines,
        trees=regress.as_onnx(forests.trees, features),
        counts=regress.counted(features),
        spread=spread,
    )
    return judged(model, overhead, networks, unseen)


def judged(
    model: KernelModel, overhead: Overhead, networks: Sequence[Labelled], predicted_ms: Sequence[Floats]
) -> Fitted:
    """The parts with their errors; predicted_ms: of each network, by a model that has not seen it."""
    predicted = np.array([overhead.latency_ms(float(p.sum()), len(p)) for p in predicted_ms])
    truth = np.array([n.latency_ms for n in networks])
    pairs = zip(networks, predicted_ms, strict=True)
    uncertainties = np.array([predicted_uncertainty(p, model.log_spread(n.features)) for n, p in pairs])
    from_measured = np.array(
        [overhead.latency_ms(float(n.kernel_ms.sum()), len(n.features)) for n in networks]
    )
    return Fitted(
        model=model,
        overhead=overhead,
        conformal_quantile=conformal_quantile(predicted / truth - 1, uncertainties),
        errors={
            **summary(predicted, truth),
            "ceiling_mape_pct": float(100 * np.abs(from_measured / truth - 1).mean()),
            "noise_pct": float(100 * np.mean([n.half_split for n in networks])),
            "networks": len(networks),
            "kernels": int(sum(len(n.features) for n in networks)),
        },
    )


def pooled(networks: Sequence[Labelled]) -> tuple[list[KernelFeatures], Floats]:
    """(the features of all kernels, their times in milliseconds)."""
    return [k for n in networks for k in n.features], np.concatenate([n.kernel_ms for n in networks])


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


def _left_out(networks: Sequence[Labelled], seed: int) -> list[Floats]:
    """Kernel times of each network, by a model of other networks."""
    folds = np.random.default_rng([seed, 0xF01D]).permutation(len(networks)) % FOLDS
    kernel_ms: list[Floats] = [np.empty(0)] * len(networks)
    for fold in range(FOLDS):
        features, times = pooled([n for n, f in zip(networks, folds, strict=True) if f != fold])
        fitted = regress.fit(features, times, seed)
        for i in map(int, np.flatnonzero(folds == fold)):
            kernel_ms[i] = fitted.predict_ms(networks[i].features)
    return kernel_ms


def _spread(networks: Sequence[Labelled], unseen: Sequence[Floats]) -> dict[str, float]:
    """Root mean square of log(measured / predicted) by kind, where there are enough, and by family."""
    rest: dict[str, list[float]] = defaultdict(list)
    for network, predicted in zip(networks, unseen, strict=True):
        for kernel, log in zip(network.features, np.log(network.kernel_ms / predicted), strict=True):
            rest[kernel.kind].append(log)
            rest[kernel.family].append(log)
    families = {k.family for n in networks for k in n.features}
    return {
        name: float(np.sqrt(np.mean(np.square(logs))))
        for name, logs in rest.items()
        if len(logs) >= MIN_OF_KIND or name in families
    }
