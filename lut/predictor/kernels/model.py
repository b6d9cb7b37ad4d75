"""What a predictor knows of the kernels of a device: their milliseconds, and how far these may be off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from profilers.stats import Floats

from .features import KernelFeatures
from .network import LEAST_MS
from .regress import Forests, Roofline, by_kind, corrections, roof_ms, roofline_of
from .small import at_its_scale

Ranges = Mapping[str, tuple[Sequence[float], Sequence[float]]]
"""By kind, the smallest and the largest `KernelFeatures.sizes` that were profiled."""

FEW = 50
"""Kinds with fewer samples are flagged in every answer (`latency-predictor.md`: an attention network was
20 % too fast because three of its kernels had none)."""


@dataclass(frozen=True)
class KernelModel:
    """The milliseconds of any kernel on one device.

    rooflines: milliseconds per term, by kind or family.
    trees: ONNX files by kind.
    counts: samples per kind.
    spread: standard deviation of log(measured / predicted) by kind, on networks not seen; `unknown FAMILY` of
        kinds that were not profiled.
    ranges: the smallest and the largest sizes of each kind that were profiled.
    tick_ms: added to the times that it was fitted on, and taken from what it predicts.
    base: the model of another device that this one corrects; rooflines are then factors on its predictions.
    small: of the kinds that have another model in small networks, see `small`; None: none has.
    """

    rooflines: Mapping[str, Roofline]
    trees: Mapping[str, bytes]
    counts: Mapping[str, int]
    spread: Mapping[str, float]
    base: KernelModel | None = field(default=None, repr=False)
    ranges: Ranges = field(default_factory=dict, repr=False)
    tick_ms: float = 0.0
    small: Forests | None = field(default=None, repr=False)

    def predict_ms(self, features: Sequence[KernelFeatures]) -> Floats:
        """Milliseconds of the kernels of one network, in context; (n,)."""
        times_ms = self.first_ms(features) * corrections(self.trees, features)
        times_ms = np.maximum(times_ms - self.tick_ms, LEAST_MS)
        return times_ms if self.small is None else at_its_scale(times_ms, self.small, features)

    def first_ms(self, features: Sequence[KernelFeatures]) -> Floats:
        """The prediction for one network before the trees; (n,)."""
        if self.base is None:
            return roof_ms(self.rooflines, features)
        factors: Floats = np.array([roofline_of(self.rooflines, k)[0] for k in features])
        times_ms: Floats = self.base.predict_ms(features) * factors
        return times_ms

    def log_spread(self, features: Sequence[KernelFeatures]) -> Floats:
        """Standard deviation of the logarithm of each prediction; (n,).

        That of the kind on networks not seen, and more the further a kernel lies outside of all that were
        profiled. Kinds without samples are as far off as kinds of the family are from its roofline.
        """
        return np.array([self._spread_of(k) for k in features])

    def _spread_of(self, kernel: KernelFeatures) -> float:
        unknown = self.spread.get(f"{UNKNOWN} {kernel.family}", _UNTOLD)
        own = self.spread.get(kernel.kind, unknown)
        known = self.ranges.get(kernel.kind)
        return own if known is None else float(np.hypot(own, _PER_E_FOLD * outside(kernel.sizes, known)))


def outside(sizes: Sequence[float], known: tuple[Sequence[float], Sequence[float]]) -> float:
    """How far sizes, as logarithms, lie beyond the smallest and largest ones known, all together."""
    return float(sum(max(low - x, x - high, 0.0) for x, low, high in zip(sizes, *known, strict=True)))


def ranges(features: Sequence[KernelFeatures]) -> Ranges:
    """What of sizes the profile holds."""
    bounds = {}
    for kind, rows, _ in by_kind(features):
        sizes = np.array([features[row].sizes for row in rows])  # (n, sizes)
        bounds[kind] = (sizes.min(axis=0).tolist(), sizes.max(axis=0).tolist())
    return bounds


UNKNOWN = "unknown"
"""Before the name of a family: the spread of kinds that were not profiled."""

_UNTOLD = 3.0
"""The same where the profile says nothing of a family: a factor of twenty."""

_PER_E_FOLD = 0.25
"""Standard deviation that each e-fold beyond the profile adds."""
