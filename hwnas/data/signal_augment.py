"""Random changes of windows of signals as a few tensor operations; nothing is mirrored.

Shift in time, scale, and noise on every value: those of Um et al. 2017 (arXiv 1706.00527, section III) that
keep the order of what happens. Amounts are of the deviation of a channel, so that units do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from targets.errors import UsageError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalAugment:
    """How much a training window may change.

    mean, std: per channel.
    shift: part of the length, to both sides; what is missing at an end is reflected.
    scale: 0.1 for 0.9 to 1.1 times the distance from the mean, the same for all channels of a window.
    jitter: deviation of the noise, as part of that of the channel.
    cutout: part of the length that becomes the mean.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    shift: float = 0.125
    scale: float = 0.1
    jitter: float = 0.05
    cutout: float = 0.0

    def __post_init__(self) -> None:
        for name, most in {"shift": 0.5, "scale": 0.9, "jitter": 10.0, "cutout": 1.0}.items():
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise UsageError(f"augmentation: {name} is {value}; allowed: 0 to {most}")

    def apply(self, x: torch.Tensor, rng: np.random.Generator, planes: int = 0) -> torch.Tensor:
        """x: (b, c, 1, t) float32, raw; returns the changed batch. planes: 0, as no labels move with it."""
        import torch

        n, _, _, length = x.shape
        mean, std = (
            torch.tensor(values, dtype=torch.float32, device=x.device).reshape(1, -1, 1, 1)
            for values in (self.mean, self.std)
        )
        steps = np.rint(rng.uniform(-self.shift, self.shift, (n, 1)) * length).astype(np.int64)
        last = length - 1
        places = last - np.abs(last - np.abs(np.arange(length) + steps))  # reflect at both ends
        index = torch.from_numpy(places[:, None, None, :]).to(x.device)
        x = x.gather(3, index.expand(x.shape))
        factor = rng.uniform(1 - self.scale, 1 + self.scale, (n, 1, 1, 1)).astype(np.float32)
        noise = rng.standard_normal(x.shape, dtype=np.float32) * np.float32(self.jitter)
        x = (x - mean) * torch.from_numpy(factor).to(x.device) + torch.from_numpy(noise).to(x.device) * std
        if self.cutout:
            centre = rng.integers(0, length, (n, 1))
            hole = np.abs(np.arange(length) - centre + 0.25) <= max(1, round(self.cutout * length)) / 2
            x = x.masked_fill(torch.from_numpy(hole[:, None, None, :]).to(x.device), 0.0)
        return x + mean
