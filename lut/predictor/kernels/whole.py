"""What networks as a whole are off, learnt from profiled networks that the kernels' model had not seen.

Trees predict each kernel by the mean of its neighbours, most of which ran in larger networks, with colder
caches: small networks come out 5 to 10 % too slow, all of their kernels together, and no feature of a single
kernel mends that. A second model reads the network instead and corrects the sum (stacked generalisation,
Wolpert 1992). Above `FADES_MS` the sum is right as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from profilers.stats import Floats

from .features import KernelFeatures
from .network import Overhead, faded_share
from .regress import run_trees, tree_file

MIN_NETWORKS = 40
"""Fewer networks than this correct nothing."""

FADES_MS = (1.0, 3.0)
"""Up to the first the correction counts whole, from the second on not at all."""

_USUAL = 0.5
"""Networks further off, on a logarithmic scale, have kernels of kinds that the profile hardly knows."""

_TREES, _LEAF, _TRIED = 200, 5, 0.6


class NetworkFeatures(NamedTuple):
    """Of a whole network, from its kernels and their predicted times. Shares and means are by time."""

    log_latency: float
    log_kernels: float
    log_kernel: float
    log_kinds: float
    log_weights: float
    log_bytes: float
    log_largest: float
    log_twins: float
    log_since_kind: float
    conv_share: float
    matmul_share: float
    depthwise_share: float
    weights_share: float


def network_features(
    kernels: Sequence[KernelFeatures], times_ms: Floats, latency_ms: float
) -> NetworkFeatures:
    """The features of a network. times_ms: (n,) predicted, of its kernels. latency_ms: predicted."""
    total_ms = float(times_ms.sum())
    share = times_ms / total_ms
    context = kernels[0].context

    def of(flags: Sequence[float] | Sequence[bool]) -> float:
        return float(np.dot(share, np.asarray(flags, dtype=np.float64)))

    return NetworkFeatures(
        log_latency=float(np.log(latency_ms)),
        log_kernels=float(np.log(len(kernels))),
        log_kernel=float(np.log(total_ms / len(kernels))),
        log_kinds=context.log_kinds,
        log_weights=context.log_net_weights,
        log_bytes=context.log_net_bytes,
        log_largest=context.log_net_largest,
        log_twins=of([k.context.log_twins for k in kernels]),
        log_since_kind=of([k.context.log_since_kind for k in kernels]),
        conv_share=of([k.family == "conv" for k in kernels]),
        matmul_share=of([k.family == "matmul" for k in kernels]),
        depthwise_share=of([bool(k.named.get("depthwise", 0)) for k in kernels]),
        weights_share=of([k.weight_bytes > k.read_bytes + k.write_bytes for k in kernels]),
    )


def fit_whole(rows: Sequence[NetworkFeatures], predicted_ms: Floats, truth_ms: Floats, seed: int) -> Any:
    """Trees on log(truth / predicted) of networks that were not seen; None where they are too few.

    rows: of each network. predicted_ms, truth_ms: (n,).
    """
    from sklearn.ensemble import ExtraTreesRegressor

    off = np.log(truth_ms / predicted_ms)
    usual = np.abs(off) < _USUAL
    if usual.sum() < MIN_NETWORKS:
        return None
    trees = ExtraTreesRegressor(
        _TREES, min_samples_leaf=_LEAF, max_features=_TRIED, random_state=seed, n_jobs=1
    )
    return trees.fit(_matrix(rows)[usual], off[usual])


def left_out_factors(
    rows: Sequence[NetworkFeatures],
    predicted_ms: Floats,
    truth_ms: Floats,
    folds: NDArray[np.int64],
    seed: int,
) -> Floats:
    """(n,) factor of each network, by trees that were fitted without its fold. folds: (n,)."""
    factors = np.ones(len(rows))
    for fold in np.unique(folds):
        out = np.flatnonzero(folds == fold).tolist()
        rest = np.flatnonzero(folds != fold).tolist()
        trees = fit_whole([rows[i] for i in rest], predicted_ms[rest], truth_ms[rest], seed)
        if trees is not None:
            logs = trees.predict(_matrix([rows[i] for i in out]))
            factors[out] = faded(logs, predicted_ms[out])
    return factors


def faded(log_factors: Floats, predicted_ms: Floats) -> Floats:
    """(n,) the factors of networks that are predicted to take so long."""
    return np.asarray(np.exp(faded_share(predicted_ms, FADES_MS) * log_factors), dtype=np.float64)


def whole_as_onnx(trees: Any) -> bytes | None:
    """The trees of `fit_whole` as an ONNX file."""
    return None if trees is None else tree_file(trees, len(NetworkFeatures._fields))


def total_ms(
    overhead: Overhead, whole: bytes | None, features: Sequence[KernelFeatures], times_ms: Floats
) -> tuple[float, float]:
    """(latency of a network in ms, the factor in it that corrects the sum of its kernels and of the run).

    whole: of `whole_as_onnx`. times_ms: (n,) predicted, of its kernels.
    """
    sum_ms = overhead.latency_ms(float(times_ms.sum()), len(features))
    if whole is None or not features:
        return sum_ms, 1.0
    row = network_features(features, times_ms, sum_ms)
    factor = float(faded(run_trees(whole, _matrix([row])), np.array([sum_ms]))[0])
    return sum_ms * factor, factor


def _matrix(rows: Sequence[NetworkFeatures]) -> NDArray[np.float32]:
    return np.array(rows, dtype=np.float32)
