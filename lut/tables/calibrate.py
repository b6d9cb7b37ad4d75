"""From prices of blocks to whole networks: a calibrated sum, and how far it is off on other networks.

    latency(network) = intercept + slope * sum of prices + per_block * blocks
                       + per_weight_byte * bytes + per_weight_byte2 * bytes^2

The prices are those of either method: blocks measured alone in a loop, or by their kernels in whole networks.
The terms after the slope are what a block costs more, or less, than its price: alone in a loop it does not
share the layout changes at its borders with neighbours, and its weights come from a nearer cache than in a
network, the farther there, the more weights the network has. The last term, which no single block has,
lowers the error of small networks by a third to a half (docs/benchmarks.md). A ridge towards
(0, 1, 0, 0, 0) keeps eight networks enough; its widths stand below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .networks import TableNetwork

Floats = NDArray[np.float64]

MIN_CALIBRATION, MIN_CHECK = 8, 12

_NOISE = 0.02
"""Relative error of one whole network that the fit reckons with."""

_INTERCEPT_SD, _SLOPE_SD, _PER_BLOCK_SD, _PER_BYTE_SD, _SQUARE_SD = 0.1, 0.3, 0.01, 0.5, 0.3
"""Widths of the prior. The slope as it is; the others as shares of the latency of the median network, where
the last two are for all weights of that network."""


@dataclass(frozen=True, slots=True)
class BlockCosts:
    """What the calibration knows of the blocks, by key: prices, bytes of weights.

    alone_ms: of a block measured alone, less the empty run; of one priced in context, what its kernels took.
    """

    alone_ms: Mapping[str, float]
    weight_bytes: Mapping[str, float]

    def sums(self, networks: Sequence[tuple[str, ...]]) -> Floats:
        """(n, 3) for networks given as keys of their blocks: sum of prices, number of blocks, bytes."""
        return np.array(
            [
                [
                    sum(self.alone_ms[k] for k in keys),
                    float(len(keys)),
                    sum(self.weight_bytes[k] for k in keys),
                ]
                for keys in networks
            ]
        )


@dataclass(frozen=True, slots=True)
class Calibration:
    """A calibration; times in milliseconds."""

    intercept_ms: float
    slope: float
    per_block_ms: float
    per_weight_byte_ms: float
    per_weight_byte2_ms: float = 0.0

    def block_ms(self, alone_ms: float, weight_bytes: float) -> float:
        """What a block adds to a network, at least a quarter of its price. The square is no block's own."""
        price = self.slope * alone_ms + self.per_block_ms + self.per_weight_byte_ms * weight_bytes
        return max(price, 0.25 * self.slope * alone_ms)

    def networks_ms(self, blocks: BlockCosts, networks: Sequence[tuple[str, ...]]) -> Floats:
        """Latencies (n,) of networks given as keys of their blocks."""
        price = {k: self.block_ms(blocks.alone_ms[k], blocks.weight_bytes[k]) for n in networks for k in n}
        total = np.array([sum(price[k] for k in keys) for keys in networks])
        square = blocks.sums(networks)[:, 2] ** 2
        out: Floats = self.intercept_ms + total + self.per_weight_byte2_ms * square
        return out


def fit_line(sums: Floats, whole_ms: Floats, square: bool) -> Calibration:
    """The line through networks with sums (n, 3) as of `Blocks.sums` and latencies (n,).

    Robust: two rounds of re-weighting (Huber, at twice the reckoned noise). A square below 0 is left out:
    more weights never make a cache nearer.
    """
    typical, bytes_ = float(np.median(whole_ms)), max(float(np.median(sums[:, 2])), 1.0)
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
        w = np.sqrt(weights) / (_NOISE * whole_ms)
        # In units of the prior's widths: the columns differ by fifteen orders of magnitude.
        a = np.vstack([x * sd * w[:, None], np.eye(len(sd))])
        b = np.concatenate([(whole_ms - x @ start) * w, np.zeros(len(sd))])
        beta = start + sd * np.linalg.lstsq(a, b, rcond=None)[0]
        error = np.abs(x @ beta / whole_ms - 1) / (2 * _NOISE)
        weights = np.minimum(1.0, 1 / np.maximum(error, 1e-9))
    if square and beta[-1] < 0:
        return fit_line(sums, whole_ms, square=False)
    return Calibration(*(float(v) for v in beta))


def split(wholes: Sequence[TableNetwork]) -> tuple[list[TableNetwork], list[TableNetwork]]:
    """(calibration, check): every second one in the order of MACs, so that both span the space."""
    ordered = sorted({w.key: w for w in wholes}.values(), key=lambda w: (w.macs, w.key))
    n_check = max(MIN_CHECK, len(ordered) // 2)
    check = set(np.linspace(1, len(ordered) - 2, n_check).round().astype(int).tolist())
    return (
        [w for i, w in enumerate(ordered) if i not in check],
        [w for i, w in enumerate(ordered) if i in check],
    )


def fit_macs(macs: Floats, whole_ms: Floats) -> tuple[float, float]:
    """(intercept, ms per MAC) of the straight line in MACs, least relative squares on the same networks."""
    x = np.column_stack([np.ones(len(macs)), macs / macs.max()]) / whole_ms[:, None]
    a, b = np.linalg.lstsq(x, np.ones(len(macs)), rcond=None)[0]
    return float(a), float(b / macs.max())


def errors(predicted_ms: Floats, measured_ms: Floats) -> dict[str, Any]:
    """MAPE, shares within 5 and 10 %, Spearman; all in percent but the last."""
    from scipy.stats import spearmanr

    error = 100 * np.abs(predicted_ms / measured_ms - 1)
    return {
        "mape_pct": float(error.mean()),
        "within_5_pct": float(100 * (error <= 5).mean()),
        "within_10_pct": float(100 * (error <= 10).mean()),
        "spearman": float(spearmanr(predicted_ms, measured_ms).statistic),
    }
