"""Starts: what the supernet of a stage takes from that of the stage before.

[1] Chen et al. 2021, DrNAS, 2006.10355, section 3.3. [2] Cai et al. 2020, Once-for-all, 1908.09791,
section 3.3: the channels of a layer are sorted before the stage in which its width shrinks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

import torch
from torch import nn

from hwnas.core.registry import Registry

STARTS: Registry[Callable[[nn.Module, nn.Module], None]] = Registry("start of a stage")
"""Functions (old supernet, new supernet) that change the new one in place."""


class Sortable(Protocol):
    """A supernet whose smaller options are the first channels of the larger."""

    def sort_channels(self) -> None:
        """Sort channels by falling L1 norm; the largest network computes the same."""


@STARTS.add("widened")
def carry_over(old: nn.Module, new: nn.Module) -> None:
    """Copy what tensors of a name share: the first entries along each axis [1]."""
    have = old.state_dict()
    with torch.no_grad():
        for name, tensor in new.state_dict().items():
            if name in have and have[name].ndim == tensor.ndim:
                part = tuple(slice(min(a, b)) for a, b in zip(have[name].shape, tensor.shape, strict=True))
                tensor[part] = have[name][part]


@STARTS.add("sorted")
def carry_sorted(old: nn.Module, new: nn.Module) -> None:
    """`carry_over`, then the most important channels first [2]."""
    carry_over(old, new)
    cast(Sortable, new).sort_channels()


@STARTS.add("same")
@STARTS.add("fresh")
def take_nothing(old: nn.Module, new: nn.Module) -> None:
    """Change nothing."""
