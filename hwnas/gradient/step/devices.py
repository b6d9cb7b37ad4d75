"""Devices as a policy sees them: a few numbers that say which operations are dear on a device.

The features of a device are the log latencies of reference architectures on it, centred and scaled to a
length of sqrt(n). So a device that is slower throughout looks the same, and one on which other operations are
slow does not.

[1] Lee et al. 2021, HELP, 2106.08630: latencies of ten reference architectures describe a device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwnas.core.budget import LATENCY, base_metric
from hwnas.core.choice import Arch
from hwnas.core.space import Space

from .protocols import SearchCosts

N_FEATURES = 10
_SEED = 0x0DE1


@dataclass(frozen=True, slots=True)
class SearchDevice:
    """A device of a search.

    metric: its cost, `latency_ms` or `latency_ms@NAME`.
    features: (N_FEATURES,), what a policy sees of it.
    typical: the median cost of the reference architectures, in the unit of the metric.
    """

    metric: str
    features: Tensor
    typical: float


def reference_archs(space: Space) -> list[Arch]:
    """The same architectures of a space in every search, so that an unseen device can be described later."""
    rng = np.random.default_rng(_SEED)
    return [space.sample(rng) for _ in range(N_FEATURES)]


def describe_device(metric: str, reference_costs: NDArray[np.float64]) -> SearchDevice:
    """The device on which the reference architectures cost (N_FEATURES,) above 0."""
    logs = np.log(np.maximum(reference_costs, 1e-12))
    centred = logs - logs.mean()
    length = float(np.linalg.norm(centred)) or 1.0
    features = torch.from_numpy(centred * np.sqrt(len(logs)) / length).float()
    return SearchDevice(metric, features, float(np.median(reference_costs)))


def search_devices(space: Space, costs: SearchCosts) -> tuple[SearchDevice, ...]:
    """One per latency among the costs; without any, the first cost stands for the only device."""
    metrics: Sequence[str] = [m for m in costs.metrics if base_metric(m) == LATENCY] or costs.metrics[:1]
    values = costs.of(reference_archs(space))
    return tuple(describe_device(metric, values[metric]) for metric in metrics)
