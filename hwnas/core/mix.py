"""The relaxed architecture that all parts of a gradient search exchange.

A policy draws a `Mix`, a supernet runs it, and a cost contracts it with tables. A one-hot mix is an
architecture. Nothing here knows a search method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .choice import Arch, Choice


@dataclass(frozen=True, slots=True)
class Mix:
    """Option probabilities of every choice, and which options run.

    probs: option probabilities, a tensor (n_options,) per choice; differentiable where the policy is.
    active: indices of the options that run, per choice. It is a set of its own and not "probability above
        0", because binary gates need a gradient where the forward value is 0.
    probe: indices of the options whose output is computed without gradient, per choice, only so that
        their probability (0 in the forward pass) receives a gradient (ProxylessNAS, section 3.2).
    log_prob: log-probability of the draw, a scalar, for REINFORCE; None where nothing was drawn.
    entropy: entropy of the policy, a scalar, for the log; None where it is not defined.
    edge_weights: what each choice as a whole is multiplied by, (n_choices,); None means 1 everywhere
        (edge normalisation of PC-DARTS, 1907.05737, section 3.3).
    draw_probs: probabilities (n_options,) that each option was drawn with, given the decisions before it,
        per choice; empty where nothing was drawn or `probs` holds them already.

    >>> from hwnas.core.choice import Choice
    >>> choices = [Choice("kernel", ("3x3", "5x5")), Choice("depth", ("1", "2", "3"))]
    >>> mix = Mix.one_hot(choices, (1, 0))
    >>> mix.probs
    (tensor([0., 1.]), tensor([1., 0., 0.]))
    >>> mix.active, mix.arch
    (((1,), (0,)), (1, 0))
    """

    probs: tuple[Tensor, ...]
    active: tuple[tuple[int, ...], ...]
    probe: tuple[tuple[int, ...], ...]
    log_prob: Tensor | None = None
    entropy: Tensor | None = None
    edge_weights: Tensor | None = None
    draw_probs: tuple[Tensor, ...] = ()

    @classmethod
    def one_hot(cls, choices: Sequence[Choice], arch: Arch) -> Mix:
        """The mix that is exactly the architecture `arch`."""
        probs = tuple(
            torch.nn.functional.one_hot(torch.tensor(option), len(choice.options)).float()
            for choice, option in zip(choices, arch, strict=True)
        )
        active = tuple((option,) for option in arch)
        return cls(probs, active, probe=tuple(() for _ in arch))

    @property
    def arch(self) -> Arch | None:
        """The architecture that runs in the forward pass; None where a choice runs several options."""
        return tuple(a[0] for a in self.active) if all(len(a) == 1 for a in self.active) else None

    @property
    def scaled_probs(self) -> tuple[Tensor, ...]:
        """Per choice the option probabilities times the weight of its edge.

        The supernet sums outputs with these factors, and costs are expected with them.
        """
        if self.edge_weights is None:
            return self.probs
        edges = self.edge_weights.unbind()
        return tuple(p * edge for p, edge in zip(self.probs, edges, strict=True))
