"""From costs of blocks to whole networks: a calibrated sum, and how far it is off on other networks.

    latency(network) = intercept + slope * sum of factor(group) * cost + per_block * blocks
                       + per_weight_byte * bytes + per_weight_byte2 * bytes^2

The costs are those of either method: of blocks in a session of their own, or of their kernels in whole
networks. The other terms are what a block costs more, or less, than that. In a session of its own it does not
share the layout changes at its borders with neighbours, which are most of what a pooling costs and little of
a convolution: a term per block, and a factor for each group (a kind of block at one image size). Its weights
come from a nearer cache than in a network: the more weights the network has, the farther they lie. The last
term belongs to no single block; it lowers the error of small networks by a third to a half
(docs/benchmarks.md). A ridge towards (0, 1, 1, 0, 0, 0) makes eight networks suffice; its widths stand below.
Each block keeps a share of its own cost: the fit knows that limit, so that all networks are priced by what
was fitted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from profilers.stats import Floats

from .networks import TableNetwork

MIN_CALIBRATION, MIN_CHECK = 8, 12

LEAST_SHARE = 0.25
"""Of the cost of a block in a session of its own, what it adds to a network at least."""

_NOISE = 0.02
"""Relative error of one network that the fit expects."""

_INTERCEPT_SD, _SLOPE_SD, _PER_BLOCK_SD, _PER_BYTE_SD, _SQUARE_SD, _GROUP_SD = 0.1, 0.3, 0.01, 0.5, 0.3, 0.2
"""Widths of the prior. Those of the slope and of what groups differ from it are absolute; the others are
shares of the latency of the median network, those of bytes for all weights of that network."""

_ROUNDS = 4
"""Of re-weighting."""


@dataclass(frozen=True, slots=True)
class BlockCosts:
    """What the calibration knows of the blocks, by key.

    uncalibrated_ms: of a block in a session of its own, its latency less that of the empty run; of a block in
        context, the time of its kernels.
    weight_bytes: bytes of its weights.
    factors: of its group, what its cost is multiplied with beside the slope; 1 where it is not named.
    """

    uncalibrated_ms: Mapping[str, float]
    weight_bytes: Mapping[str, float]
    factors: Mapping[str, float] = field(default_factory=dict)

    def cost_ms(self, key: str) -> float:
        """The cost of a block times the factor of its group."""
        return self.factors.get(key, 1.0) * self.uncalibrated_ms[key]

    def sums(self, networks: Sequence[tuple[str, ...]]) -> Floats:
        """(n, 3) for networks as keys of their blocks: sum of costs, number of blocks, bytes of weights."""
        return np.array(
            [
                [sum(map(self.cost_ms, keys)), float(len(keys)), sum(self.weight_bytes[k] for k in keys)]
                for keys in networks
            ]
        )


@dataclass(frozen=True, slots=True)
class Calibration:
    """The coefficients of the calibrated sum; times in milliseconds."""

    intercept_ms: float
    slope: float
    per_block_ms: float
    per_weight_byte_ms: float
    per_weight_byte2_ms: float = 0.0

    def block_ms(self, cost_ms: float, weight_bytes: float) -> float:
        """What a block adds to a network. cost_ms: times its factor. The square belongs to no block."""
        return self.slope * cost_ms + self.per_block_ms + self.per_weight_byte_ms * weight_bytes

    def networks_ms(self, costs: BlockCosts, networks: Sequence[tuple[str, ...]]) -> Floats:
        """Latencies (n,) of networks as keys of their blocks."""
        sums = costs.sums(networks)
        terms = np.array([self.slope, self.per_block_ms, self.per_weight_byte_ms])
        latencies: Floats = self.intercept_ms + sums @ terms + self.per_weight_byte2_ms * sums[:, 2] ** 2
        return latencies


def fit_calibration(
    costs: BlockCosts,
    groups: Mapping[str, str],
    networks: Sequence[tuple[str, ...]],
    network_ms: Floats,
    square: bool,
) -> tuple[Calibration, BlockCosts]:
    """(the calibration, the costs with the factors of their groups).

    costs: of blocks, without factors. groups: of blocks, by key. networks: as keys of their blocks.
    network_ms: (n,) their latencies. square: fit the term of the squared bytes too.

    Robust: rounds of re-weighting (Huber, at twice the expected noise). A group that is in no network has the
    factor 1. More weights never make a cache nearer: the terms of bytes are not below 0.
    """
    names = sorted({groups[key] for keys in networks for key in keys})
    sums = costs.sums(networks)
    typical, bytes_ = float(np.median(network_ms)), max(float(np.median(sums[:, 2])), 1.0)
    by_group = np.array([
        [sum(costs.uncalibrated_ms[k] for k in keys if groups[k] == name) for name in names]
        for keys in networks
    ])  # fmt: skip
    x = np.column_stack([np.ones(len(sums)), sums, sums[:, 2] ** 2 * square, by_group])
    of_terms = [
        _INTERCEPT_SD * typical,
        _SLOPE_SD,
        _PER_BLOCK_SD * typical,
        _PER_BYTE_SD * typical / bytes_,
        _SQUARE_SD * typical / bytes_**2,
    ]
    start = np.eye(1, x.shape[1], 1)[0]
    widths = np.array(of_terms + [_GROUP_SD] * len(names))
    beta = _ridge(x, network_ms, start, widths, _limits(costs, groups, names))
    intercept_ms, slope, per_block_ms, per_byte_ms, per_byte2_ms = map(float, beta[:5])
    factors = dict(zip(names, (1 + beta[5:] / slope).tolist(), strict=True))
    return (
        Calibration(
            intercept_ms, slope, per_block_ms, max(per_byte_ms, 0.0), max(per_byte2_ms, 0.0) * square
        ),
        replace(costs, factors={key: factors.get(groups[key], 1.0) for key in costs.uncalibrated_ms}),
    )


def _limits(costs: BlockCosts, groups: Mapping[str, str], names: Sequence[str]) -> tuple[Floats, Floats]:
    """(G, h): coefficients b (k,) are allowed where G b >= h.

    The cheapest block of each group keeps its share, and the slope of no group, which is at least that share,
    lets a dearer one lose it; the slope is at least that share, intercept and terms of bytes at least 0.
    """
    rows, least = [], []
    for name in sorted(set(groups.values())):
        of_group = np.array([float(other == name) for other in names])
        keys = [key for key in costs.uncalibrated_ms if groups[key] == name]
        if not keys:
            continue
        cheapest_ms = min(costs.uncalibrated_ms[key] for key in keys)
        lightest = min(costs.weight_bytes[key] for key in keys)
        terms = np.array([0.0, cheapest_ms, 1.0, lightest, 0.0])
        rows += [
            np.concatenate([terms, cheapest_ms * of_group]),
            np.concatenate([[0.0, 1.0, 0.0, 0.0, 0.0], of_group]),
        ]
        least += [LEAST_SHARE * cheapest_ms, LEAST_SHARE]
    positive = np.eye(5 + len(names))[[0, 1, 3, 4]]
    return np.vstack([*rows, positive]), np.array([*least, 0.0, LEAST_SHARE, 0.0, 0.0])


def _ridge(x: Floats, truth: Floats, start: Floats, widths: Floats, limits: tuple[Floats, Floats]) -> Floats:
    """Coefficients b (k,) of the least relative squares of x (n, k), drawn towards `start`, within limits."""
    weights, beta = np.ones(len(x)), start
    allowed, least = limits
    # In units of the prior's widths, and limits of length 1: columns differ by fifteen orders of magnitude.
    length = np.linalg.norm(allowed * widths, axis=1)
    bounded, bounds = allowed * widths / length[:, None], (least - allowed @ start) / length
    for _ in range(_ROUNDS):
        w = np.sqrt(weights) / (_NOISE * truth)
        a = np.vstack([x * widths * w[:, None], np.eye(len(widths))])
        b = np.concatenate([(truth - x @ start) * w, np.zeros(len(widths))])
        beta = start + widths * least_squares_within(a, b, bounded, bounds)
        error = np.abs(x @ beta / truth - 1) / (2 * _NOISE)
        weights = np.minimum(1.0, 1 / np.maximum(error, 1e-9))
    return beta


def least_squares_within(a: Floats, b: Floats, g: Floats, h: Floats) -> Floats:
    """The z (k,) of the least |a z - b| with g z >= h. a: (n, k) of full column rank; some z is allowed.

    Lawson and Hanson 1974, chapter 23: an orthogonal decomposition makes it a problem of least distance, and
    non-negative least squares solve that.
    """
    from scipy.optimize import nnls

    q, r = np.linalg.qr(a)
    free = q.T @ b
    g_r = np.linalg.solve(r.T, g.T).T
    e = np.vstack([g_r.T, h - g_r @ free])
    last = np.eye(1, len(e), len(e) - 1)[0]
    residual = e @ nnls(e, last, maxiter=100 * e.shape[1])[0] - last
    return np.asarray(np.linalg.solve(r, free - residual[:-1] / residual[-1]), dtype=np.float64)


def split(networks: Sequence[TableNetwork]) -> tuple[list[TableNetwork], list[TableNetwork]]:
    """(calibration, check): every second one in the order of MACs, so that both span the space."""
    ordered = sorted({n.key: n for n in networks}.values(), key=lambda n: (n.macs, n.key))
    n_check = max(MIN_CHECK, len(ordered) // 2)
    check = set(np.linspace(1, len(ordered) - 2, n_check).round().astype(int).tolist())
    return (
        [network for i, network in enumerate(ordered) if i not in check],
        [network for i, network in enumerate(ordered) if i in check],
    )


def fit_macs(macs: Floats, network_ms: Floats) -> tuple[float, float]:
    """(intercept, ms per MAC) of the straight line in MACs, least relative squares on the same networks."""
    x = np.column_stack([np.ones(len(macs)), macs / macs.max()]) / network_ms[:, None]
    a, b = np.linalg.lstsq(x, np.ones(len(macs)), rcond=None)[0]
    return float(a), float(b / macs.max())


def errors(predicted_ms: Floats, measured_ms: Floats) -> dict[str, Any]:
    """MAPE, the shares within 5 and 10 %, Spearman's rank correlation; all in percent but the last."""
    from scipy.stats import spearmanr

    error = 100 * np.abs(predicted_ms / measured_ms - 1)
    return {
        "mape_pct": float(error.mean()),
        "within_5_pct": float(100 * (error <= 5).mean()),
        "within_10_pct": float(100 * (error <= 10).mean()),
        "spearman": float(spearmanr(predicted_ms, measured_ms).statistic),
    }
