"""Mean and standard deviation of each channel, by which samples are normalised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.core.samples import area

from .pixels import Pixels
from .source import DataSource

PerChannel = npt.NDArray[np.float64]
"""(c,)."""
STATISTICS_SAMPLES = 5_000
"""Images read when the data is decoded on demand."""
_STATISTICS_PIXELS = 1024 * 32**2  # counted at a time: 8 bytes each


def nearly_one_colour(mean: tuple[float, ...], std: tuple[float, ...]) -> list[str]:
    """A note where the training images are all but black or white: levels that are not what they seem."""
    if max(std) >= 0.03 or 0.07 < min(mean) < 0.93:
        return []
    colour = "black" if min(mean) < 0.5 else "white"
    return [
        f"the images are nearly {colour} (mean {mean[0]:.3f}, deviation {std[0]:.3f} of 1): look at one; "
        "colour images of 12 bits in 16 look so, and have to be stretched to all 16 bits first"
    ]


def statistics_of(
    source: DataSource, pixels: Pixels | None, train: npt.NDArray[np.int64], size: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of the training samples; of images in 0..1.

    pixels: of all samples; None where they are decoded on demand, and some of those that train are read.
    train: (n,), their places.
    """
    kind = source.listing.kind
    if pixels is None:
        train = train[np.unique(np.linspace(0, len(train) - 1, STATISTICS_SAMPLES).astype(int))]
    step = max(1, _STATISTICS_PIXELS // area(size, kind.dims))

    def parts() -> Iterator[Pixels]:
        for start in range(0, len(train), step):
            chosen = train[start : start + step]
            part: Any = [source.read(int(i), size) for i in chosen] if pixels is None else pixels[chosen]
            yield np.asarray(part)

    if kind.levels:
        mean, std = _of_levels(parts(), source.listing.in_channels, kind.levels)
        std[std < 1 / kind.top] = 1.0  # blank images: nothing to scale
    else:
        mean, std = _of_floats(parts())
        std[std <= 1e-6 * np.abs(mean)] = 1.0  # a channel that is always the same
    return tuple(mean.tolist()), tuple(std.tolist())


def _of_levels(parts: Iterator[Pixels], channels: int, n_levels: int) -> tuple[PerChannel, PerChannel]:
    """By a histogram, which is exact and needs no copy."""
    counts = np.zeros((channels, n_levels), np.int64)
    for part in parts:
        for channel, count in enumerate(counts):
            count += np.bincount(part[:, channel].ravel(), minlength=n_levels)
    levels = np.arange(n_levels) / (n_levels - 1)
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ levels
    return mean, np.sqrt(share @ levels**2 - mean**2)


def _of_floats(parts: Iterator[Pixels]) -> tuple[PerChannel, PerChannel]:
    """By the means and squared deviations of the parts, put together as Chan et al. 1979 do."""
    n, mean, squares = 0, np.zeros(1), np.zeros(1)
    for part in parts:
        values = part.astype(np.float64).transpose(1, 0, 2, 3).reshape(part.shape[1], -1)
        m = values.shape[1]
        off = values.mean(axis=1) - mean
        squares = squares + values.var(axis=1) * m + off**2 * n * m / (n + m)
        mean, n = mean + off * m / (n + m), n + m
    return mean, np.sqrt(squares / n)
