"""From rows of single blocks to whole networks: a calibrated sum, and how far it is off on other networks.

    latency(network) = intercept + slope * sum of rows + per_block * blocks + per_weight_byte * bytes

The last two terms are what a block costs more, or less, inside a network than alone in a loop: its weights
come from a farther cache, and it shares the layout changes at its borders with its neighbours
(`latency.md`, section 3). All four terms are sums over blocks, so each block still has one price. A ridge
towards (0, 1, 0, 0) keeps eight networks enough; its widths stand below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_NOISE = 0.02
"""Relative error of one whole network that the fit reckons with."""

_SLOPE_SD, _INTERCEPT_SD, _PER_BLOCK_SD, _PER_BYTE_SD = 0.3, 0.1, 0.01, 0.5
"""Widths of the prior: slope as it is; the others as shares of the median network, of which `per_byte`
is for all weights of that network together."""


@dataclass(frozen=True, slots=True)
class Line:
    """The calibration; times in milliseconds."""

    intercept_ms: float
    slope: float
    per_block_ms: float
    per_weight_byte_ms: float

    def block_ms(self, row_ms: Floats, weight_bytes: Floats) -> Floats:
        """Prices (n,) of blocks with rows (n,); at least a quarter of what the block costs alone."""
        price = self.slope * row_ms + self.per_block_ms + self.per_weight_byte_ms * weight_bytes
        out: Floats = np.maximum(price, 0.25 * self.slope * row_ms)
        return out


def fit_line(sums: Floats, whole_ms: Floats) -> Line:
    """The line through networks; sums (n, 3): sum of rows, number of blocks, bytes of weights. whole_ms (n,).

    Robust: two rounds of re-weighting (Huber, at twice the reckoned noise).
    """
    typical = float(np.median(whole_ms))
    bytes_ = max(float(np.median(sums[:, 2])), 1.0)
    x = np.column_stack([np.ones(len(sums)), sums])
    sd = np.array(
        [_INTERCEPT_SD * typical, _SLOPE_SD, _PER_BLOCK_SD * typical, _PER_BYTE_SD * typical / bytes_]
    )
    start = np.array([0.0, 1.0, 0.0, 0.0])
    weights = np.ones(len(sums))
    beta = start
    for _ in range(3):
        w = np.sqrt(weights) / (_NOISE * whole_ms)
        a = np.vstack([x * w[:, None], np.diag(1 / sd)])
        b = np.concatenate([whole_ms * w, start / sd])
        scale = np.linalg.norm(a, axis=0)
        beta = np.linalg.lstsq(a / scale, b, rcond=None)[0] / scale
        error = np.abs(x @ beta / whole_ms - 1) / (2 * _NOISE)
        weights = np.minimum(1.0, 1 / np.maximum(error, 1e-9))
    return Line(*(float(v) for v in beta))


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
