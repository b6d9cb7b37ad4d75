"""Which widths a group may have, and what each of them alone costs in loss."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from hwnas.networks.modes import evaluating

from .coupling import ChannelGroup
from .importance import Loss, least_important
from .prune import Removed, pruned

SHARES = (1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125)
"""Of the channels of a group."""

MULTIPLE = 8
"""Channels of a block that runtimes compute together; groups of fewer than four of them go by quarters."""


def widths_of(size: int) -> list[int]:
    """Widths of a group of `size` channels, the whole first.

    >>> widths_of(64), widths_of(24), widths_of(3)
    ([64, 56, 48, 40, 32, 24, 16, 8], [24, 18, 12, 6], [3, 2, 1])
    """
    step = MULTIPLE if size >= 4 * MULTIPLE else max(1, size // 4)
    rounded = [step * max(1, round(share * size / step)) for share in SHARES[1:]]
    return list(dict.fromkeys([size, *(width for width in rounded if width < size)]))


def gone(group: ChannelGroup, scores: NDArray[np.float64], width: int) -> NDArray[np.int64]:
    """The channels that go where `width` of them stay."""
    return least_important(scores, group.size - width)


def removed_at(
    groups: Sequence[ChannelGroup], scores: dict[str, NDArray[np.float64]], widths: dict[str, int]
) -> Removed:
    """The channels that go at these widths, by group."""
    return {g.name: gone(g, scores[g.name], widths[g.name]) for g in groups if widths[g.name] < g.size}


def narrower(module: nn.Module, group: ChannelGroup, scores: NDArray[np.float64], width: int) -> nn.Module:
    """The network with that width of this group alone, all else as it is."""
    return pruned(module, [group], {group.name: gone(group, scores, width)})


def mean_loss(module: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], loss: Loss) -> float:
    """In eval mode, mean of all images."""
    total, n = 0.0, 0
    with evaluating(module):
        for x, y in batches:
            total += float(loss(module(x), y)) * len(x)
            n += len(x)
    return total / max(1, n)


def added_loss(losses: Sequence[float]) -> list[float]:
    """What each width costs over the whole one, never less than a wider width: noise is no gain.

    losses: by width, the whole first.

    >>> added_loss([1.0, 0.75, 1.5, 1.25])
    [0.0, 0.0, 0.5, 0.5]
    """
    return list(itertools.accumulate((max(0.0, value - losses[0]) for value in losses), max))
