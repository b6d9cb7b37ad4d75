"""A policy for many devices and preferences: a hypernetwork gives the logits of every choice [1].

[1] Sukthanker et al. 2025, MODNAS, 2402.18213, section 3.2, and its public code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hwnas.core.choice import Choice
from hwnas.core.mix import Mix
from hwnas.gradient.step.active_options import ActiveOptions, all_options, restrict, scatter_mix
from hwnas.gradient.step.devices import N_FEATURES
from hwnas.gradient.step.protocols import Relax, RelaxContext

from .policy import POLICIES
from .relax import dense

RAYS = 8
"""Preferences that the mean of a policy is taken over, between none and all for the accuracy."""


@POLICIES.add("hypernetwork")
class HyperPolicy(nn.Module):
    """Tables of logits over the preference, mixed by how a device looks [1].

        logits(r, d) = sum_i softmax_i(sin(K d / sqrt(n_features))) table_i(r)

    r in 0..1 is the weight of the accuracy, 1 - r that of the latency; d (n_features,) describes a device
    (`step.devices`). table_i holds logits at `knots` preferences and is linear between them.

    Where no preference is set (`under`), each draw takes one from the uniform distribution and a device of
    the search at random, and the mean is that over all of them.

    tables: how many there are.
    knots: preferences per table. The published 101 without interpolation need a hundred times the steps.
    """

    reach = 25.0
    """That of `LogitPolicy` times knots / 2, because a step touches two of the knots."""

    devices: Tensor

    def __init__(
        self, choices: Sequence[Choice], generator: torch.Generator, *, tables: int = 50, knots: int = 11
    ) -> None:
        super().__init__()
        self.choices = tuple(choices)
        self._sizes = [len(c.options) for c in choices]
        shape = (tables, knots, sum(self._sizes))
        self.tables = nn.Parameter(torch.randn(shape, generator=generator))
        self.keys = nn.Parameter(torch.randn(tables, N_FEATURES, generator=generator))
        self.register_buffer("devices", torch.zeros(1, N_FEATURES))
        self._set: tuple[float, Tensor] | None = None
        self.restrict(all_options(choices))

    def meet_devices(self, features: Tensor) -> None:
        """The devices of the search, (n_devices, n_features)."""
        self.devices = features.clone()

    def restrict(self, active: ActiveOptions) -> None:
        """From now on draw among these options only."""
        self.active, self._active_choices = active, restrict(self.choices, active)

    @contextmanager
    def under(self, preference: float, features: Tensor) -> Iterator[None]:
        """Inside, this is the policy of one preference (0: latency, 1: accuracy alone) on one device."""
        before, self._set = self._set, (preference, features)
        try:
            yield
        finally:
            self._set = before

    def logits_at(self, preference: float, features: Tensor) -> tuple[Tensor, ...]:
        """Per choice the logits (n_options,) of all its options."""
        place = min(max(preference, 0.0), 1.0) * (self.tables.shape[1] - 1)
        low = min(int(place), self.tables.shape[1] - 2)
        share = place - low
        shares = torch.sin(self.keys @ features.to(self.keys) / math.sqrt(N_FEATURES)).softmax(0)
        at = (1 - share) * self.tables[:, low] + share * self.tables[:, low + 1]
        return torch.split(shares @ at, self._sizes)

    def free_logits(self) -> tuple[Tensor, ...]:
        """Per choice the logits of the active options under the preference that is set; else empty."""
        return () if self._set is None else self._active_logits(*self._set)

    def draw(self, relax: Relax, context: RelaxContext) -> Mix:
        """The mix of one step, under the preference that is set or under one drawn."""
        preference, features = self._set or self._drawn(context.generator)
        context = replace(context, choices=self._active_choices)
        return self._over_all_options(relax(self._active_logits(preference, features), context))

    def soft_mix(self) -> Mix:
        """The softmax of the logits; the mean over preferences and devices where none is set."""
        if self._set is not None:
            return self._soft(*self._set)
        mixes = [self._soft(i / (RAYS - 1), d) for d in self.devices for i in range(RAYS)]
        probs = tuple(torch.stack(p).mean(0) for p in zip(*(m.probs for m in mixes), strict=True))
        entropy = torch.stack([torch.special.entr(p).sum() for p in probs]).sum()
        return replace(mixes[0], probs=probs, entropy=entropy)

    def after_step(self, mix: Mix) -> None:
        """Nothing."""

    def _drawn(self, generator: torch.Generator) -> tuple[float, Tensor]:
        """Dirichlet(1, 1) over two weights is uniform in the first of them."""
        preference = float(torch.rand((), generator=generator))
        return preference, self.devices[int(torch.randint(len(self.devices), (), generator=generator))]

    def _soft(self, preference: float, features: Tensor) -> Mix:
        probs = tuple(F.softmax(a, dim=0) for a in self._active_logits(preference, features))
        entropy = torch.stack([torch.special.entr(p).sum() for p in probs]).sum()
        return self._over_all_options(replace(dense(probs), entropy=entropy))

    def _active_logits(self, preference: float, features: Tensor) -> tuple[Tensor, ...]:
        pairs = zip(self.logits_at(preference, features), self.active, strict=True)
        return tuple(a if len(options) == len(a) else a[list(options)] for a, options in pairs)

    def _over_all_options(self, mix: Mix) -> Mix:
        if self._active_choices == self.choices:
            return mix
        return scatter_mix(mix, self.choices, self.active)
