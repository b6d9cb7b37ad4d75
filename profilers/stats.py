"""What a list of timings says: low quantiles, an interval, the noise floor, the drift, a verdict.

Timing noise is additive, positive and not independent (Chen & Revels 2016), so means and standard
deviations are of no use. On a shared machine samples fall in clusters: undisturbed, beside a busy neighbour
(1.3 to 1.5 times), worse. Samples within 10 % of an anchor, a low quantile, count; the 20 % quantile and the
median of these repeat better than any quantile of all. In quiet minutes the anchor is the fastest twentieth;
`settle` moves it, for all networks of a job together, to where most of a busy machine's samples are.

Samples of one disturbed stretch are alike, so that an interval that takes them for independent is too narrow
(40 to 70 % instead of 95 % coverage at a correlation of 0.8 to 0.9 from sample to sample). Intervals here
are also as wide as the spread over stretches of time says (`between_stretches`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
"""Any array of float64; its shape stands where it is used."""

LOW = 0.2
ANCHORS = (0.05, 0.1, 0.2, 0.35, 0.5)
_WINDOW = 1.1
_Z95 = 1.96
MIN_QUIET = 6

UNSTABLE_SHARE = 0.25
UNSTABLE_HALF = 0.05
UNSTABLE_DRIFT = 0.1
UNSTABLE_CI = 0.05
UNSTABLE_CPU_SHARE = 0.35
"""Of the wall time: with less, other processes leave nothing of the caches between two slices."""

STRETCHES = 6
_T95 = 2.571
"""Student's t for a spread known from so many stretches."""


@dataclass(frozen=True)
class Summary:
    """The times of one network, in the unit of the samples.

    n: samples.
    p20, p50: quantiles of the undisturbed samples.
    p90: quantile of all samples.
    ci_low, ci_high: 95 % interval of p50; it includes the spread between stretches of time.
    p20_low, p20_high: the same of p20.
    half_split: |p20 of even samples / p20 of odd samples - 1|, the noise floor of this network.
    drift: p20 of the second half / p20 of the first - 1.
    quiet_share: share of the samples that are undisturbed.
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
    def width(self) -> float:
        """The wider side of the interval of p50, relative."""
        return max(self.ci_high - self.p50, self.p50 - self.ci_low) / self.p50

    @property
    def reasons(self) -> list[str]:
        """Why the number should not be trusted to a few percent, each with its figure; [] where it should."""
        holds_by_reason = {
            f"{self.quiet_share:.0%} of the samples lie near the low ones": self.quiet_share < UNSTABLE_SHARE,
            f"two halves of the samples differ by {self.half_split:.0%}": self.half_split > UNSTABLE_HALF,
            f"the time drifted by {self.drift:+.0%}": abs(self.drift) > UNSTABLE_DRIFT,
            f"the interval is {self.width:.0%} wide on a side": self.width > UNSTABLE_CI,
        }
        return [reason for reason, holds in holds_by_reason.items() if holds]


def summarise(samples: Floats, anchor: float = ANCHORS[0]) -> Summary:
    """The summary of samples (n,) in the order in which they were taken, n >= 4."""
    x = np.asarray(samples, dtype=np.float64)
    quiet = undisturbed(x, anchor)
    p20, p50 = (float(q) for q in np.quantile(quiet, [LOW, 0.5]))
    half = len(x) // 2
    # Fewer quiet samples than this may be luck: then the interval is that of all samples.
    trusted = quiet if len(quiet) >= MIN_QUIET else np.sort(x)
    by_rank = [interval(trusted, q) for q in (0.5, LOW)]
    widths = between_stretches(x, anchor)
    (ci_low, ci_high), (p20_low, p20_high) = (
        (min(low, value - width), max(high, value + width))
        for (low, high), value, width in zip(by_rank, (p50, p20), widths)
    )
    return Summary(
        n=len(x),
        p20=p20,
        p50=p50,
        p90=max(float(np.quantile(x, 0.9)), p50),
        ci_low=max(ci_low, 0.0),
        ci_high=ci_high,
        p20_low=max(p20_low, 0.0),
        p20_high=p20_high,
        half_split=half_split(x, anchor),
        drift=low_quantile(x[half:], anchor) / low_quantile(x[:half], anchor) - 1,
        quiet_share=len(quiet) / len(x),
    )


def between_stretches(samples: Floats, anchor: float) -> tuple[float, float]:
    """Half of a 95 % interval of (p50, p20), as their spread over six stretches of the samples (n,) says.

    The wider of two: the stretches on their own (batch means, Law & Kelton), which see what changes from one
    to the next, and all but one of them (block jackknife, Kuensch 1989), which estimate as the whole does.
    (0, 0) for fewer than two samples per stretch.
    """
    if len(samples) < 2 * STRETCHES:
        return 0.0, 0.0
    parts = np.array_split(samples, STRETCHES)
    rest = [np.concatenate(parts[:i] + parts[i + 1 :]) for i in range(STRETCHES)]
    alone, without = (np.array([_centre(x, anchor) for x in group]) for group in (parts, rest))
    batch = alone.std(axis=0, ddof=1) / np.sqrt(STRETCHES)
    jackknife = without.std(axis=0) * np.sqrt(STRETCHES - 1)
    p50, p20 = (float(w) for w in _T95 * np.maximum(batch, jackknife))
    return p50, p20


def _centre(samples: Floats, anchor: float) -> tuple[float, float]:
    """(p50, p20) of the undisturbed samples; by hand, as np.quantile is ten times slower on so few."""
    quiet = undisturbed(samples, anchor)
    at = [q * (len(quiet) - 1) for q in (0.5, LOW)]
    below = [quiet[int(i)] for i in at]
    above = [quiet[min(int(i) + 1, len(quiet) - 1)] for i in at]
    p50, p20 = (float(a + (i - int(i)) * (b - a)) for i, a, b in zip(at, below, above))
    return p50, p20


def reasons_of(summary: Summary, cpu_share: float | None, clock: str) -> list[str]:
    """Why a row is unstable: its samples, and the share of the time in which the process could run.

    By the wall clock, waiting is part of the samples. cpu_share: None where it is not known.
    """
    starved = clock == "cpu" and cpu_share is not None and cpu_share < UNSTABLE_CPU_SHARE
    return [*([f"it ran for {cpu_share:.0%} of the time"] if starved else []), *summary.reasons]


def flagged(reasons: Sequence[str]) -> dict[str, str]:
    """The fields `flag` and `reason` of a row.

    >>> flagged(["sessions differ by 12%"])
    {'flag': 'unstable', 'reason': 'sessions differ by 12%'}
    """
    return {"flag": "unstable" if reasons else "ok", "reason": "; ".join(reasons)}


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
