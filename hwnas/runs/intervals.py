"""95 % intervals of shares that were counted, in closed form.

[1] Wilson 1927, Probable inference, the law of succession, and statistical inference.
[2] Newcombe 1998, Interval estimation for the difference between independent proportions, method 10.
"""

from __future__ import annotations

import math

Interval = tuple[float, float]
_Z = 1.959963984540054  # the 97.5 % quantile of the normal distribution


def wilson(share: float, n: float) -> Interval:
    """Of a share of `n` samples [1]."""
    centre = (share + _Z * _Z / (2 * n)) / (1 + _Z * _Z / n)
    half = _Z / (1 + _Z * _Z / n) * math.sqrt(share * (1 - share) / n + _Z * _Z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def difference(share: float, other: float, n: float) -> Interval:
    """Of `share - other`, each counted on `n` samples [2].

    For two networks on the same images it is too wide rather than too narrow: their errors go together.
    """
    return difference_of(share, n, other, n)


def difference_of(share: float, n: float, other: float, n_other: float) -> Interval:
    """The same for two numbers of samples."""
    (low, high), (other_low, other_high) = wilson(share, n), wilson(other, n_other)
    return (
        share - other - math.hypot(share - low, other_high - other),
        share - other + math.hypot(high - share, other - other_low),
    )
