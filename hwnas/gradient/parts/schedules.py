"""Schedules: the number of an edge wrapper as a function of how far its stage is.

[1] Chen et al. 2019, P-DARTS, 1904.12760, and its code. [2] Chu et al. 2021, DARTS-, 2009.01027.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from hwnas.core.registry import Registry

Schedule = Callable[[float, float], float]
"""(progress of the stage in [0, 1), share of it with a frozen policy) -> value."""

SCHEDULES: Registry[Callable[..., float]] = Registry("schedule")


@SCHEDULES.add("constant")
def constant(progress: float, frozen: float, *, value: float) -> float:
    """The same value throughout."""
    return value


@SCHEDULES.add("linear")
def linear(progress: float, frozen: float, *, start: float, end: float) -> float:
    """From start to end [2]."""
    return start + (end - start) * progress


@SCHEDULES.add("skip_dropout")
def skip_dropout(progress: float, frozen: float, *, p0: float, decay: float = 5.0) -> float:
    """p0 (1 - progress) while the policy is frozen, then p0 exp(-decay (progress - frozen)) [1].

    The published decay of 0.2 per epoch over stages of 25 epochs is 5 per stage.
    """
    return p0 * (1 - progress) if progress < frozen else p0 * math.exp(-decay * (progress - frozen))
