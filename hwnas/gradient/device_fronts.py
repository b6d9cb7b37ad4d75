"""A front per device from one search: what its policy decodes to, from latency alone to accuracy alone.

[1] Sukthanker et al. 2025, MODNAS, 2402.18213: 24 preferences are decoded per device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from hwnas.core.choice import Arch
from hwnas.core.space import Space
from targets.errors import UsageError

from .parts.hyper_policy import HyperPolicy
from .step.devices import SearchDevice, describe_device, reference_archs
from .step.nodes import discretise
from .step.protocols import Policy

N_RAYS = 24


class SearchedPolicy(Protocol):
    """`search.GradientSearch`, as far as fronts need it."""

    space: Space
    policy: Policy

    @property
    def devices(self) -> Sequence[SearchDevice]:
        """Those of the search."""
        ...


@dataclass(frozen=True, slots=True)
class Ray:
    """What a policy decodes to under one preference: 0 for latency alone, 1 for accuracy alone."""

    preference: float
    arch: Arch


def device_front(search: SearchedPolicy, device: SearchDevice, n_rays: int = N_RAYS) -> list[Ray]:
    """The different architectures of evenly spread preferences, the fastest preference first.

    device: of the search, or an unseen one (`unseen_device`). UsageError for a method whose policy knows no
    devices.
    """
    policy = search.policy
    if not isinstance(policy, HyperPolicy):
        raise UsageError(
            "this method has one policy for all devices; search by 'modnas' for a front per device"
        )
    rays: dict[str, Ray] = {}
    for preference in np.linspace(0, 1, n_rays):
        with torch.no_grad(), policy.under(float(preference), device.features):
            soft = policy.soft_mix()
        arch = search.space.canonical(discretise(soft.probs, soft.edge_weights, search.space.choices))
        rays.setdefault(search.space.key(arch), Ray(float(preference), arch))
    return list(rays.values())


def device_fronts(search: SearchedPolicy) -> dict[str, list[Ray]]:
    """The front of each device of the search by its metric; empty where the policy knows no devices."""
    if not isinstance(search.policy, HyperPolicy):
        return {}
    return {device.metric: device_front(search, device) for device in search.devices}


def unseen_device(search: SearchedPolicy, name: str, reference_ms: NDArray[np.float64]) -> SearchDevice:
    """A device that took no part in the search.

    reference_ms: (n_features,) latencies of `reference_archs(search.space)` on it, measured or by a table.
    """
    if len(reference_ms) != len(reference_archs(search.space)):
        raise UsageError(
            f"device {name} needs the latencies of {len(reference_archs(search.space))} reference "
            f"architectures, got {len(reference_ms)}"
        )
    return describe_device(f"latency_ms@{name}", reference_ms)
