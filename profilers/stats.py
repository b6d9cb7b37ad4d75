"""What a list of timings says: low quantiles, an interval, the noise floor, the drift, a verdict.

Timing noise is additive, positive and not independent (Chen & Revels 2016), so means and standard
deviations are of no use. On a shared machine samples fall in clusters: undisturbed, beside a busy neighbour
(1.3 to 1.5 times), worse. Samples within 10 % of an anchor, a low quantile, count; the 20 % quantile and the
median of these repeat better than any quantile of all. In quiet minutes the anchor is the fastest twentieth;
`settle` moves it, for all networks of a job together, to where most of a busy machine's samples are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LOW = 0.2
ANCHORS = (0.05, 0.1, 0.2, 0.35, 0.5)
_WINDOW = 1.1
_Z95 = 1.96
MIN_QUIET = 6

UNSTABLE_SHARE = 0.25
UNSTABLE_HALF = 0.05
UNSTABLE_DRIFT = 0.1


@dataclass(frozen=True)
class Summary:
    """Of one network; all times in the unit of the samples.

    p20, p50: of the undisturbed samples; p90: of all n. ci_low, ci_high: 95 % interval of p50. p20_low,
    p20_high: of p20. half_split: |p20 of even samples / p20 of odd samples - 1|, the noise floor of this
    network. drift: p20 of the second half / p20 of the first - 1. quiet_share: of samples not disturbed.
    """

    n: int
    p20: float
    p50: float
    p90: float
    ci_low: float
    ci_high: float
    p20_low: float
    p20_high: float
    half_split: float
    drift: float
    quiet_share: float

    @property
    def ci_pct(self) -> float:
        """The wider side of the interval of p20, in percent of p20."""
        return 100 * max(self.p20_high - self.p20, self.p20 - self.p20_low) / self.p20

    @property
    def flag(self) -> str:
        """`unstable` where the number should not be trusted to a few percent, else `ok`."""
        stable = (
            self.quiet_share >= UNSTABLE_SHARE
            and self.half_split <= UNSTABLE_HALF
            and abs(self.drift) <= UNSTABLE_DRIFT
        )
        return "ok" if stable else "unstable"


def summarise(samples: Floats, anchor: float = ANCHORS[0]) -> Summary:
    """The summary of samples (n,) in the order in which they were taken, n >= 4."""
    x = np.asarray(samples, dtype=np.float64)
    quiet = undisturbed(x, anchor)
    p20, p50 = (float(q) for q in np.quantile(quiet, [LOW, 0.5]))
    half = len(x) // 2
    # Fewer quiet samples than this may be luck: then the interval is that of all samples.
    trusted = quiet if len(quiet) >= MIN_QUIET else np.sort(x)
    return Summary(
        len(x),
        p20,
        p50,
        max(float(np.quantile(x, 0.9)), p50),
        min(interval(trusted, 0.5)[0], p50),
        max(interval(trusted, 0.5)[1], p50),
        min(interval(trusted, LOW)[0], p20),
        max(interval(trusted, LOW)[1], p20),
        half_split(x, anchor),
        low_quantile(x[half:], anchor) / low_quantile(x[:half], anchor) - 1,
        len(quiet) / len(x),
    )


def undisturbed(samples: Floats, anchor: float = ANCHORS[0]) -> Floats:
    """The samples within 10 % of the quantile `anchor`, in ascending order; at least one."""
    x = np.sort(samples)
    centre = x[round(anchor * (len(x) - 1))]
    quiet: Floats = x[(x <= centre * _WINDOW) & (x >= centre / _WINDOW)]
    return quiet


def low_quantile(samples: Floats, anchor: float = ANCHORS[0]) -> float:
    """The quantile of the undisturbed samples that every comparison uses."""
    return float(np.quantile(undisturbed(samples, anchor), LOW))


def half_split(samples: Floats, anchor: float) -> float:
    """How far the even samples and the odd ones disagree, relative."""
    return abs(low_quantile(samples[::2], anchor) / low_quantile(samples[1::2], anchor) - 1)


def interval(ordered: Floats, quantile: float) -> tuple[float, float]:
    """A 95 % interval of a quantile between two of the ordered samples (n,): their ranks are binomial."""
    n = len(ordered)
    spread = _Z95 * np.sqrt(n * quantile * (1 - quantile))
    low, high = np.floor(n * quantile - spread), np.ceil(n * quantile + spread)
    return float(ordered[max(int(low), 0)]), float(ordered[min(int(high), n - 1)])


def quantile_ratio(samples: Floats, reference: Floats) -> float:
    """Low quantile over low quantile of the reference network in the same rounds: free of slow drift."""
    return low_quantile(samples) / low_quantile(reference)
