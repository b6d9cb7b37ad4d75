"""Kernels of small networks, from a model of their own.

Trees predict a kernel by the mean of its neighbours, most of which ran in larger networks with colder caches.
In networks of 0.03 ms, which searches export, every kernel came out 0.1 to 0.4 us too slow: 10 to 20 % of the
network (docs/benchmarks.md, "Small networks"). So rooflines and trees are fitted a second time, on networks
below `FITTED_BELOW_MS` alone. They price the kernels of a network that takes less than the first of
`FADES_MS`, and count less and less until the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from profilers.stats import Floats

from .features import KernelFeatures
from .labels import Labelled
from .network import faded_share
from .regress import MIN_OF_KIND, Forests, TreeGrowth, counted, fit

FITTED_BELOW_MS = 1.0
FADES_MS = (0.1, 0.3)
"""Of the kernels' times together. Chosen on networks of the spaces that come with hwnas and on
`[small_development]`: from 0.3 to 1 ms instead, networks of `nasbench201` are 8.8 % off and not 4.0 %."""

_GROWTH = TreeGrowth(leaf=2, tried=1.0)
"""Fewer samples need finer leaves: with the growth of the model of all networks, those of `mobile` below
0.05 ms are 7.0 % off and not 3.9 %."""


@dataclass(frozen=True)
class TwoScales:
    """The model of all networks and that of small ones, as `fit_scales` gives them; not kept."""

    large: Forests
    small: Forests

    def predict_ms(self, features: Sequence[KernelFeatures]) -> Floats:
        """Milliseconds of the kernels of one network; (n,)."""
        return at_its_scale(self.large.predict_ms(features), self.small, features)


def fit_scales(networks: Sequence[Labelled], seed: int) -> TwoScales:
    """Both models. That of small networks has the kinds of which it has trees, or the other has none."""
    large = fit(*pooled(networks), seed)
    small = [n for n in networks if n.latency_ms < FITTED_BELOW_MS]
    if not small:
        return TwoScales(large, Forests({}, {}))
    features, times_ms = pooled(small)
    fitted = fit(features, times_ms, seed, _GROWTH)
    kinds = {
        kind
        for kind, n in counted(features).items()
        if n >= MIN_OF_KIND and (kind in fitted.trees or kind not in large.trees)
    }
    rooflines = {kind: fitted.rooflines[kind] for kind in sorted(kinds)}
    return TwoScales(large, Forests(rooflines, fitted.trees))


def pooled(networks: Sequence[Labelled]) -> tuple[list[KernelFeatures], Floats]:
    """(the features of all kernels, their times in milliseconds)."""
    return [k for n in networks for k in n.features], np.concatenate([n.kernel_ms for n in networks])


def at_its_scale(times_ms: Floats, small: Forests, features: Sequence[KernelFeatures]) -> Floats:
    """Times of the kernels of one network by both models, mixed as logarithms; (n,).

    times_ms: (n,) by the model of all networks; their sum says how small the network is.
    """
    share = float(faded_share(float(times_ms.sum()), FADES_MS))
    rows = [i for i, kernel in enumerate(features) if kernel.kind in small.rooflines]
    if share == 0 or not rows:
        return times_ms
    mixed_ms = times_ms.copy()
    small_ms = small.predict_ms([features[i] for i in rows])
    mixed_ms[rows] = np.exp(share * np.log(small_ms) + (1 - share) * np.log(times_ms[rows]))
    return mixed_ms
