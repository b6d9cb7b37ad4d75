"""From costs of blocks to whole networks: a calibrated sum, and how far it is off on other networks.

    latency(network) = intercept + slope * sum of costs + per_block * blocks
                       + per_weight_byte * bytes + per_weight_byte2 * bytes^2

The costs are those of either method: of blocks in a session of their own, or of their kernels in whole
networks. The terms after the slope are what a block costs more, or less, than that. In a session of its own
it does not share the layout changes at its borders with neighbours. Its weights come from a nearer cache than
in a network: the more weights the network has, the farther they lie. The last term belongs to no single
block; it lowers the error of small networks by a third to a half (docs/benchmarks.md). A ridge towards (0, 1,
0, 0, 0) makes eight networks suffice; its widths stand below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from profilers.stats import Floats

from .networks import TableNetwork

MIN_CALIBRATION, MIN_CHECK = 8, 12

_NOISE = 0.02
"""Relative error of one network that the fit expects."""

_INTERCEPT_SD, _SLOPE_SD, _PER_BLOCK_SD, _PER_BYTE_SD, _SQUARE_SD = 0.1, 0.3, 0.01, 0.5, 0.3
"""Widths of the prior. The slope's is absolute; the others are shares of the latency of the median network,
the last two for all weights of that network."""


@dataclass(frozen=True, slots=True)
class BlockCosts:
    """What the calibration knows of the blocks, by key.

    uncalibrated_ms: of a block in a session of its own, its latency less that of the empty run; of a block in
        context, the time of its kernels.
    weight_bytes: bytes of its weights.
    """

    uncalibrated_ms: Mapping[str, float]
    weight_bytes: Mapping[str, float]

    def sums(self, networks: Sequence[tuple[str, ...]]) -> Floats:
        """(n, 3) for networks as keys of their blocks: sum of costs, number of blocks, bytes of weights."""
        return np.array(
            [
                [
                    sum(self.uncalibrated_ms[k] for k in keys),
                    float(len(keys)),
                    sum(self.weight_bytes[k] for k in keys),
                ]
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

    def block_ms(self, uncalibrated_ms: float, weight_bytes: float) -> float:
        """What a block adds to a network, at least a quarter of its cost. The square belongs to no block."""
        cost_ms = self.slope * uncalibrated_ms + self.per_block_ms + self.per_weight_byte_ms * weight_bytes
        return max(cost_ms, 0.25 * self.slope * uncalibrated_ms)

    def networks_ms(self, costs: BlockCosts, networks: Sequence[tuple[str, ...]]) -> Floats:
        """Latencies (n,) of networks as keys of their blocks."""
        block_ms = {
            k: self.block_ms(costs.uncalibrated_ms[k], costs.weight_bytes[k]) for n in networks for k in n
        }
        total = np.array([sum(block_ms[k] for k in keys) for keys in networks])
        square = costs.sums(networks)[:, 2] ** 2
        latencies: Floats = self.intercept_ms + total + self.per_weight_byte2_ms * square
        return latencies


def fit_calibration(sums: Floats, network_ms: Floats, square: bool) -> Calibration:
    """The calibration of networks with `sums` (n, 3) as of `BlockCosts.sums` and latencies `network_ms` (n,).

    Robust: two rounds of re-weighting (Huber, at twice the expected noise). A square below 0 is left out:
    more weights never make a cache nearer. square: fit the term of the squared bytes too.
    """
    typical, bytes_ = float(np.median(network_ms)), max(float(np.median(sums[:, 2])), 1.0)
    x = np.column_stack([np.ones(len(sums)), sums, sums[:, 2] ** 2])
    sd = np.array(
        [
            _INTERCEPT_SD * typical,
            _SLOPE_SD,
            _PER_BLOCK_SD * typical,
            _PER_BYTE_SD * typical / bytes_,
            _SQUARE_SD * typical / bytes_**2,
        ]
    )
    start = np.array([0.0, 1.0, 0.0, 0.0, 0.0])
    if not square:
        x, sd, start = x[:, :-1], sd[:-1], start[:-1]
    weights = np.ones(len(sums))
    beta = start
    for _ in range(3):
        w = np.sqrt(weights) / (_NOISE * network_ms)
        # In units of the prior's widths: the columns differ by fifteen orders of magnitude.
        a = np.vstack([x * sd * w[:, None], np.eye(len(sd))])
        b = np.concatenate([(network_ms - x @ start) * w, np.zeros(len(sd))])
        beta = start + sd * np.linalg.lstsq(a, b, rcond=None)[0]
        error = np.abs(x @ beta / network_ms - 1) / (2 * _NOISE)
        weights = np.minimum(1.0, 1 / np.maximum(error, 1e-9))
    if square and beta[-1] < 0:
        return fit_calibration(sums, network_ms, square=False)
    return Calibration(*(float(v) for v in beta))  # in the order of the columns of x


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
