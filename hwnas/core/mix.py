"""The one currency of the search: choices, and the mix of their options.

A policy draws a `Mix`, a supernet runs it, a cost contracts it with tables. A one-hot mix is an
architecture; its flattened weights are the architecture's encoding. Nothing here knows a method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Arch = tuple[int, ...]
"""An architecture: the index of the chosen option, per choice, in the order of the space."""


NONE = "none"
"""The option of an edge that is not there."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One decision: exactly one of `options`.

    Choices that share a `node` are the edges that enter it, and an architecture keeps exactly `keep`
    of them: the others are `NONE`. Without a node, or with keep 0, every option is free.
    """

    name: str
    options: tuple[str, ...]
    node: str | None = None
    keep: int = 0


@dataclass(frozen=True, slots=True)
class Mix:
    """What every part of a search exchanges.

    weights: per choice a tensor (n_options,), differentiable where the policy is.
    active: per choice the indices of the options that run. A set of its own, not "weight != 0":
        binary gates need a gradient where the forward weight is 0.
    probe: per choice the options whose output is computed without gradient, only so that their
        weight (0 in the forward pass) receives one (ProxylessNAS, section 3.2).
    log_prob, entropy: scalars of the draw, for REINFORCE and for the log; None when not defined.
    chances: per choice the probabilities (n_options,) that its option was drawn by, given the decisions
        before it; empty when the draw was none, or all are in `weights`.
    edge_weights: (choices,), what each choice as a whole is multiplied by; None = 1 everywhere
        (edge normalisation of PC-DARTS, 1907.05737, section 3.3).
    """

    weights: tuple[Tensor, ...]
    active: tuple[tuple[int, ...], ...]
    probe: tuple[tuple[int, ...], ...]
    log_prob: Tensor | None = None
    entropy: Tensor | None = None
    edge_weights: Tensor | None = None
    chances: tuple[Tensor, ...] = ()

    @classmethod
    def one_hot(cls, choices: Sequence[Choice], arch: Arch) -> Mix:
        """The mix that is exactly the architecture `arch`."""
        weights = tuple(
            torch.nn.functional.one_hot(torch.tensor(i), len(c.options)).float()
            for c, i in zip(choices, arch, strict=True)
        )
        return cls(weights, tuple((i,) for i in arch), tuple(() for _ in arch))

    @property
    def arch(self) -> Arch | None:
        """The architecture that runs in the forward pass, or None when a choice is really mixed."""
        return tuple(a[0] for a in self.active) if all(len(a) == 1 for a in self.active) else None

    @property
    def scaled(self) -> tuple[Tensor, ...]:
        """Per choice the weights times the weight of its edge: what is summed, and what is paid for."""
        if self.edge_weights is None:
            return self.weights
        edges = self.edge_weights.unbind()
        return tuple(w * e for w, e in zip(self.weights, edges, strict=True))

    def flat(self) -> Tensor:
        """All weights in one vector (sum of n_options,): the encoding of an architecture."""
        return torch.cat(self.weights)
