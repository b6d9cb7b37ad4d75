"""95 % intervals: of shares that were counted in closed form, of other figures by the bootstrap.

[1] Wilson 1927, Probable inference, the law of succession, and statistical inference.
[2] Newcombe 1998, Interval estimation for the difference between independent proportions, method 10.
[3] Efron 1979, Bootstrap methods: another look at the jackknife.
[4] Nadeau and Bengio 2003, Inference for the generalization error, section 5: the corrected resampled t.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

Interval = tuple[float, float]
Z_95 = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""


def wilson(share: float, n: float) -> Interval:
    """Of a share of `n` samples [1]."""
    z = Z_95
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def difference(share: float, other: float, n: float) -> Interval:
    """Of `share - other`, each counted on `n` samples [2].

    For two networks on the same images it is too wide rather than too narrow: their errors go together.
    """
    return difference_of(share, n, other, n)


def difference_of(share: float, n: float, other: float, n_other: float) -> Interval:
    """The same for two numbers of samples."""
    return difference_between(share, wilson(share, n), other, wilson(other, n_other))


def difference_between(share: float, interval: Interval, other: float, other_interval: Interval) -> Interval:
    """Of `share - other`, each known with an interval of its own [2]."""
    return (
        share - other - math.hypot(share - interval[0], other_interval[1] - other),
        share - other + math.hypot(interval[1] - share, other - other_interval[0]),
    )


def corrected_resampled(figures: Sequence[float], n_train: float, n_test: float) -> Interval:
    """Of the mean figure of trainings on splits that were drawn anew, whose training images overlap [4].

    Their variance is too small for the 1 / k of independent figures; 1 / k + n_test / n_train stands for it.
    figures: (k,), at least two.
    """
    from scipy.stats import t

    k, mean = len(figures), sum(figures) / len(figures)
    variance = sum((figure - mean) ** 2 for figure in figures) / (k - 1)
    half = float(t.ppf(0.975, k - 1)) * math.sqrt((1 / k + n_test / n_train) * variance)
    return mean - half, mean + half


def widened(figure: float, interval: Interval, factor: float) -> Interval:
    """The interval of a figure, so many times as wide on both sides: of a higher level."""
    return figure - factor * (figure - interval[0]), figure + factor * (interval[1] - figure)


def bootstrap(figure: Callable[[Any], float], n: int, draws: int = 200) -> Interval:
    """Of a figure of `n` samples, by drawing them again [3].

    figure: of the samples at these places, (n,).
    """
    import numpy as np

    rng = np.random.default_rng(n)
    values = [figure(rng.integers(0, n, n)) for _ in range(draws)]
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
