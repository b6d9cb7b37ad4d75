"""What log-mel energies are made of, and the matrices that make them; `log_mel` is the same as a module.

Bands are triangles on the mel scale of O'Shaughnessy 1987, 2595 log10(1 + f / 700), as most keyword spotters
have them (Zhang et al. 2017, arXiv 1711.07128).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

FLOOR = 1e-6
"""Added to the energy of a band: silence is log(1e-6). A tone of full scale has an energy around 1/4."""


@dataclass(frozen=True)
class LogMelSettings:
    """What is made of a waveform.

    rate_hz: of the waveform. samples: its length.
    window, hop: samples of a frame, and from one frame to the next. bands: of the mel scale.
    """

    rate_hz: int
    samples: int
    window: int
    hop: int
    bands: int = 40

    @classmethod
    def of(cls, rate_hz: int, seconds: float) -> LogMelSettings:
        """Frames of 25 ms, one every 10 ms."""
        return cls(
            rate_hz=rate_hz,
            samples=round(seconds * rate_hz),
            window=round(0.025 * rate_hz),
            hop=round(0.01 * rate_hz),
        )

    @property
    def frames(self) -> int:
        """Whole frames of the waveform."""
        return max(0, 1 + (self.samples - self.window) // self.hop)

    @property
    def bins(self) -> int:
        """Frequencies of a frame."""
        return self.window // 2 + 1

    @cached_property
    def mel(self) -> npt.NDArray[np.float64]:
        """(bands, bins): triangles of height 1 that overlap by half, from 20 Hz to half the rate."""
        mels = np.linspace(_mel(20.0), _mel(self.rate_hz / 2), self.bands + 2)
        corners = 700 * (10 ** (mels / 2595) - 1)
        bins = np.arange(self.bins) * self.rate_hz / self.window
        low, middle, high = (corners[i : i + self.bands, None] for i in range(3))
        rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
        weights: npt.NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling))
        return weights

    @cached_property
    def basis(self) -> npt.NDArray[np.float64]:
        """(2, bins, window): cosines and sines under a Hann window, so that a full tone has amplitude 1/2."""
        n = np.arange(self.window)
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / self.window)
        angles = 2 * np.pi * np.arange(self.bins)[:, None] * n / self.window
        waves: npt.NDArray[np.float64] = np.stack([np.cos(angles), np.sin(angles)]) * hann / hann.sum()
        return waves

    def features(self, waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(samples,) to (bands, frames), as the module computes it."""
        frames = np.lib.stride_tricks.sliding_window_view(waveform, self.window)[:: self.hop]
        cosine, sine = (frames @ part.T for part in self.basis.astype(np.float32))
        energy = (cosine * cosine + sine * sine) @ self.mel.T.astype(np.float32)
        logs: npt.NDArray[np.float32] = np.log(energy + np.float32(FLOOR)).T
        return np.ascontiguousarray(logs)


def _mel(frequency_hz: float) -> float:
    return 2595 * math.log10(1 + frequency_hz / 700)
