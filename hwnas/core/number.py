"""Numbers that change from step to step: floats, or tensors of one element.

A CUDA graph repeats its kernels with the floats that they were given. A tensor keeps its place in memory,
and may hold another number when the graph runs again.
"""

from __future__ import annotations

from torch import Tensor

Number = float | Tensor


def may_count(number: Number) -> bool:
    """Whether it can be other than 0; a tensor always can, and is not read."""
    return isinstance(number, Tensor) or bool(number)


def at_least(number: Number, least: float) -> Number:
    """The larger of the two."""
    return number.clamp_min(least) if isinstance(number, Tensor) else max(number, least)
