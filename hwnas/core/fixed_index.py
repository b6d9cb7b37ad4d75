"""Indices as tensors that are made once per device.

A list as an index becomes a tensor on the host that is copied to the device, at every call: a GPU waits for
it, and a CUDA graph cannot hold the copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor


@cache
def fixed_index(indices: tuple[int, ...], device: torch.device) -> Tensor:
    """The indices (n,), the same tensor at every call."""
    with torch.inference_mode(False):  # what is made there could not be saved for a backward pass
        return torch.tensor(indices, dtype=torch.int64, device=device)


@cache
def marked(indices: tuple[int, ...], n: int, device: torch.device) -> Tensor:
    """(n,): 1 at the indices, 0 elsewhere; the same tensor at every call."""
    with torch.inference_mode(False):
        marks = torch.zeros(n).index_fill_(0, torch.tensor(indices, dtype=torch.int64), 1)
        return marks.to(device)


def take(values: Tensor, indices: Sequence[int]) -> Tensor:
    """The entries of values (n, …) at the indices, differentiable.

    >>> take(torch.tensor([5.0, 6.0, 7.0]), (2, 0))
    tensor([7., 5.])
    """
    return values.index_select(0, fixed_index(tuple(indices), values.device))
