"""What parts exchange: relaxation, policy, costs, and the score that an arch step minimises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwnas.core.choice import Arch, Choice
from hwnas.core.mix import Mix
from hwnas.core.number import Number

from .active_options import ActiveOptions


@dataclass(frozen=True, slots=True)
class RelaxContext:
    """What a relaxation may depend on besides the logits.

    choices: the choices that it relaxes.
    generator: the source of all draws, on the device of the logits; its state is part of every checkpoint.
    t: temperature of the stage at this step.
    progress: 0 at the first step of the search, 1 at its last.
    edge_weights: (n_choices,), the policy's weight of each edge; None for a policy without edge logits.
    """

    choices: tuple[Choice, ...]
    generator: torch.Generator
    t: Number = 1.0
    progress: Number = 0.0
    edge_weights: Tensor | None = None

    def uniform(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Draws from [0, 1)."""
        return torch.rand(shape, generator=self.generator, dtype=dtype, device=self.generator.device)


class Relax(Protocol):
    """A relaxation: from the logits of a policy to the mix that a supernet runs."""

    def __call__(self, logits: Sequence[Tensor], context: RelaxContext) -> Mix:
        """The mix that runs; logits: one tensor (n_options,) per choice."""
        ...


class Policy(Protocol):
    """A learned distribution over architectures; its parameters are the alphas of DARTS.

    `nn.Module` provides the first three methods.

    reach: how far a parameter must be able to move in a search, however few its steps; 0: as published.
    active: per choice the options that may be drawn.
    """

    reach: float
    active: ActiveOptions

    def parameters(self) -> Iterator[nn.Parameter]:
        """What the arch step optimises."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All tensors by name."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """Put back what `state_dict` gave."""
        ...

    def draw(self, relax: Relax, context: RelaxContext) -> Mix:
        """The mix of one step."""

    def soft_mix(self) -> Mix:
        """The probabilities themselves, differentiable, with their entropy: what costs and logs see."""

    def restrict(self, active: ActiveOptions) -> None:
        """From now on draw among these options only."""

    def meet_devices(self, features: Tensor) -> None:
        """The devices of the search, (n_devices, n_features); told once, before the first draw."""

    def free_logits(self) -> tuple[Tensor, ...]:
        """Per choice the logits of the active options; empty for a policy that has none."""

    def after_step(self, mix: Mix) -> None:
        """Called once the optimiser has changed the parameters by the gradient that `mix` received."""


@dataclass(frozen=True, slots=True)
class PolicyView:
    """What an arch step drew, for regularisers.

    drawn: the mix that ran.
    soft: the policy's mean mix; costs are expected of it.
    logits: of the active options, per choice; empty for a policy without logits.
    choices: those of the space.
    progress: 0 at the first step of the search, 1 at its last.
    """

    drawn: Mix
    soft: Mix
    logits: tuple[Tensor, ...]
    choices: tuple[Choice, ...]
    progress: Number = 0.0


@dataclass(frozen=True, slots=True)
class Score:
    """What an arch step minimises.

    total: the scalar that is minimised.
    costs: per metric the expected cost that went into it, without gradient.
    regularisers: the part of `total` that regularisers add.
    expected: the same costs as scalars that can be differentiated.
    """

    total: Tensor
    costs: Mapping[str, Tensor]
    regularisers: Tensor
    expected: Mapping[str, Tensor] = field(default_factory=dict)


class ScoreFunction(Protocol):
    """The objective of an arch step."""

    def __call__(self, task_loss: Tensor, view: PolicyView) -> Score:
        """The score; its gradient reaches the policy through the view."""
        ...


class SearchCosts(Protocol):
    """`costs.CostModel`, as far as a search needs it."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that it knows."""
        ...

    def expected(self, mix: Mix) -> dict[str, Tensor]:
        """Per metric a scalar, differentiable in the probabilities of the mix."""
        ...

    def of(self, archs: Sequence[Arch]) -> dict[str, NDArray[np.float64]]:
        """Per metric the exact costs (n,) of n architectures."""
        ...

    def minimum(self, metric: str) -> tuple[float, Arch]:
        """The least value in the space, and an architecture that has it."""
        ...
