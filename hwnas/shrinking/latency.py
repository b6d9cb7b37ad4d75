"""Milliseconds of a network at any widths, from predictions in which one group is narrower at a time.

A kernel depends on the widths of the groups that it reads and writes, mostly one or two. What it takes at
several of them narrower is its time in the whole network times a factor for each: exact where its time goes
with the product of its channels, and checked by a prediction of the network that is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lut.predictor.latency_predictor import Prediction

Widths = Mapping[str, int]
"""By group."""

_REST = ""
"""The name that kernels of no or several equal names go under together."""


def kernel_times(prediction: Prediction) -> dict[str, float]:
    """Milliseconds by the name of the kernel; what is not in kernels counts to the rest."""
    names = [layer.name for layer in prediction.layers]
    times: dict[str, float] = {_REST: prediction.overhead_ms}
    for layer in prediction.layers:
        known = layer.name and names.count(layer.name) == 1
        key = layer.name if known else _REST
        times[key] = times.get(key, 0.0) + layer.latency_ms
    return times


@dataclass(frozen=True)
class LatencyModel:
    """whole: times of the network as it is. factors: by group and width, (kernels,) on these times.

    scale, offset_ms: from predicted to measured times, `scale * predicted + offset_ms`.
    """

    whole: NDArray[np.float64]
    factors: Mapping[str, Mapping[int, NDArray[np.float64]]]
    scale: float = 1.0
    offset_ms: float = 0.0

    @classmethod
    def of(
        cls,
        whole: Mapping[str, float],
        narrower: Mapping[str, Mapping[int, Mapping[str, float]]],
        scale: float = 1.0,
    ) -> LatencyModel:
        """whole: `kernel_times` of the network. narrower: the same by group and width."""
        names = [name for name in whole if name != _REST]

        def row(times: Mapping[str, float]) -> NDArray[np.float64]:
            # What has another name there, as a layout that is gone or new, belongs to the rest.
            matched = [times.get(name, 0.0) for name in names]
            return np.array([*matched, sum(times.values()) - sum(matched)])

        base = row(whole)
        safe = np.where(base > 0, base, 1.0)
        factors = {
            group: {width: np.where(base > 0, row(times) / safe, 1.0) for width, times in by_width.items()}
            for group, by_width in narrower.items()
        }
        return cls(base, factors, scale)

    def latency_ms(self, widths: Widths) -> float:
        """Of the network at these widths; groups that are not named are whole."""
        return float(self.scale * (self.whole * self._product(widths)).sum() + self.offset_ms)

    def corrected(self, widths: Widths, measured_ms: float) -> LatencyModel:
        """The same in another unit: at these widths it gives what was measured."""
        ratio = measured_ms / self.latency_ms(widths)
        return replace(self, scale=self.scale * ratio, offset_ms=self.offset_ms * ratio)

    def through(self, narrowest: Widths, whole_ms: float, narrowest_ms: float) -> LatencyModel:
        """With scale and offset so that it gives both measurements; by the first alone where it cannot."""
        predicted_ms = self.latency_ms({}), self.latency_ms(narrowest)
        slope = (whole_ms - narrowest_ms) / max(predicted_ms[0] - predicted_ms[1], 1e-12)
        if not 0 < slope * self.scale < float("inf") or predicted_ms[0] <= predicted_ms[1]:
            return self.corrected({}, whole_ms)
        offset_ms = whole_ms - slope * (predicted_ms[0] - self.offset_ms)
        return replace(self, scale=self.scale * slope, offset_ms=offset_ms)

    def alone_ms(self, group: str, choices: Sequence[int], widths: Widths) -> list[float]:
        """Of the network with each of the `choices` for one group and the others at `widths`."""
        others = {name: width for name, width in widths.items() if name != group}
        times = self.scale * self.whole * self._product(others)
        return [float((times * self._factor(group, width)).sum() + self.offset_ms) for width in choices]

    def _product(self, widths: Widths) -> NDArray[np.float64]:
        product = np.ones(len(self.whole))
        for group, width in widths.items():
            product = product * self._factor(group, width)
        return product

    def _factor(self, group: str, width: int) -> NDArray[np.float64] | float:
        return self.factors.get(group, {}).get(width, 1.0)
