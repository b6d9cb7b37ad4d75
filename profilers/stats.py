"""What a list of timings says: low quantiles, an interval, the noise floor, the drift, a verdict.

Timing noise is additive, positive and not independent (Chen & Revels 2016), so means and standard
deviations are of no use: on a shared machine samples fall in two clusters, disturbed or not, and the
20 % quantile stays in the lower one until four fifths of them are disturbed (docs/benchmarks.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LOW = 0.2
"""The quantile that stands for the undisturbed network."""

UNSTABLE_SPREAD = 1.5
UNSTABLE_HALF = 0.05


@dataclass(frozen=True)
class Summary:
    """Of one model; all times in the unit of the samples.

    ci_low, ci_high: 95 % interval of p50 by bootstrap. half_split: |p20 of even samples / p20 of odd
    samples - 1|, the noise floor of this model. drift: p20 of the second half / p20 of the first - 1.
    """

    n: int
    p20: float
    p50: float
    p90: float
    ci_low: float
    ci_high: float
    half_split: float
    drift: float

    @property
    def flag(self) -> str:
        """`unstable` where the number should not be trusted to a few percent, else `ok`."""
        bad = self.p90 > UNSTABLE_SPREAD * self.p20 or self.half_split > UNSTABLE_HALF
        return "unstable" if bad or abs(self.drift) > 2 * UNSTABLE_HALF else "ok"


def summarise(samples: Floats, rng: np.random.Generator) -> Summary:
    """The summary of samples (n,) in the order in which they were taken, n >= 4."""
    x = np.asarray(samples, dtype=np.float64)
    p20, p50, p90 = (float(q) for q in np.quantile(x, [LOW, 0.5, 0.9]))
    low, high = bootstrap(x, rng, 0.5)
    even, odd = low_quantile(x[::2]), low_quantile(x[1::2])
    first, second = low_quantile(x[: len(x) // 2]), low_quantile(x[len(x) // 2 :])
    return Summary(
        len(x), p20, p50, p90, min(low, p50), max(high, p50), abs(even / odd - 1), second / first - 1
    )


def low_quantile(samples: Floats) -> float:
    """The quantile that every comparison uses."""
    return float(np.quantile(samples, LOW))


def bootstrap(
    samples: Floats, rng: np.random.Generator, quantile: float = LOW, draws: int = 200
) -> tuple[float, float]:
    """A 95 % percentile interval of a quantile of samples (n,)."""
    chosen = rng.integers(0, len(samples), (draws, len(samples)))
    values = np.quantile(samples[chosen], quantile, axis=1)
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def quantile_ratio(samples: Floats, reference: Floats) -> float:
    """Low quantile over low quantile of the reference network in the same rounds: free of slow drift."""
    return low_quantile(samples) / low_quantile(reference)


def narrow_enough(samples: Floats, ci_pct: float, min_n: int, rng: np.random.Generator) -> bool:
    """Whether there are `min_n` samples and the interval of p20 is within `ci_pct` percent on both sides."""
    if len(samples) < min_n:
        return False
    low, high = bootstrap(samples, rng, draws=60)
    centre = low_quantile(samples)
    return 100 * max(high - centre, centre - low) / centre <= ci_pct
