"""From a waveform to log-mel energies: the front end of networks of sounds, in common operators.

A short-time Fourier transform is a convolution of the waveform with windowed cosines and sines; the mel bands
are a product with a matrix; the rest is squares, a sum and a logarithm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from .front_blocks import FrontBlock
from .mel_settings import FLOOR, LogMelSettings


class LogMel(nn.Module):
    """(b, 1, 1, samples) to (b, bands, 1, frames)."""

    def __init__(self, settings: LogMelSettings) -> None:
        super().__init__()
        bins, window = settings.bins, settings.window
        self.cosine, self.sine = (
            nn.Conv2d(1, bins, (1, window), (1, settings.hop), bias=False) for _ in range(2)
        )
        self.mel = nn.Conv2d(bins, settings.bands, 1, bias=False)
        for conv, weights in zip(
            (self.cosine, self.sine, self.mel), (*settings.basis, settings.mel), strict=True
        ):
            conv.weight = nn.Parameter(
                torch.from_numpy(weights).float().reshape(conv.weight.shape), requires_grad=False
            )

    def forward(self, x: Tensor) -> Tensor:
        """Waveforms in -1..1."""
        cosine, sine = self.cosine(x), self.sine(x)
        return cast(Tensor, (self.mel(cosine * cosine + sine * sine) + FLOOR).log())


class Standardise(nn.Module):
    """(x - mean) / std per channel of (b, c, 1, t)."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        exact = (torch.tensor(values, dtype=torch.float64).reshape(1, -1, 1, 1) for values in (mean, std))
        centre, spread = exact
        self.register_buffer("mean", centre.float())
        self.register_buffer("scale", (1 / spread).float())

    def forward(self, x: Tensor) -> Tensor:
        """Raw values to what the network takes."""
        return (x - self.get_buffer("mean")) * self.get_buffer("scale")


def front_end(
    log_mel: LogMelSettings | None, mean: Sequence[float], std: Sequence[float]
) -> Standardise | nn.Sequential:
    """What stands before a network of signals: raw values in, what it was trained on out."""
    standardise = Standardise(mean, std)
    return standardise if log_mel is None else nn.Sequential(LogMel(log_mel), standardise)


def front_module(block: FrontBlock) -> nn.Module:
    """The block with any mean and deviation: its time does not depend on them, unless they are 0 and 1."""
    return front_end(block.log_mel, [0.25] * block.channels, [2.0] * block.channels)
