"""Policies: what is learned about the choices, and the mixes drawn from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..mix import Choice, Mix
from ..registry import Registry
from .relax import Moment, Relax

_INIT_STD = 1e-3
"""1e-3 N(0, 1): the start that DARTS and its successors publish; close to uniform, ties broken."""


class Policy(Protocol):
    """A learned distribution over architectures; `nn.Module` provides all but the last three."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """What the arch step optimises."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All tensors by name."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """Put back what `state_dict` gave."""
        ...

    def draw(self, relax: Relax, moment: Moment) -> Mix:
        """The mix of one step."""

    def soft_mix(self) -> Mix:
        """The probabilities themselves, differentiable, with their entropy: what costs and logs see."""

    def after_step(self, mix: Mix) -> None:
        """Called once the optimiser has changed the parameters by the gradient that `mix` received."""


POLICIES: Registry[Any] = Registry("policy")


@POLICIES.add("logits")
class Logits(nn.Module):
    """One free vector of logits per choice, relaxed all at once.

    keep_untouched: after a step that touched only some options of a choice (two-path gates), shift
        those so that the probabilities of all others are what they were (ProxylessNAS, section 3.2.1).
    """

    def __init__(
        self, choices: Sequence[Choice], generator: torch.Generator, *, keep_untouched: bool = False
    ) -> None:
        super().__init__()
        self.choices = tuple(choices)
        self.keep_untouched = keep_untouched
        self.logits = nn.ParameterList(
            nn.Parameter(_INIT_STD * torch.randn(len(c.options), generator=generator)) for c in choices
        )
        self._drawn: tuple[Tensor, ...] = ()

    def draw(self, relax: Relax, moment: Moment) -> Mix:
        """The mix of one step."""
        if self.keep_untouched:
            self._drawn = tuple(a.detach().clone() for a in self.logits)
        return relax(tuple(self.logits), moment)

    def soft_mix(self) -> Mix:
        """softmax(logits) per choice, and the joint entropy in nats."""
        logs = [F.log_softmax(a, dim=0) for a in self.logits]
        weights = tuple(a.exp() for a in logs)
        entropy = -(torch.cat(weights) * torch.cat(logs)).sum()
        return Mix(weights, tuple(tuple(range(len(a))) for a in logs), tuple(() for _ in logs), None, entropy)

    @torch.no_grad()
    def after_step(self, mix: Mix) -> None:
        """Put the probability mass of the touched options back to what it was, with `keep_untouched`."""
        if not self.keep_untouched:
            return
        for now, then, active, probe in zip(self.logits, self._drawn, mix.active, mix.probe, strict=True):
            touched = [*active, *probe]
            if len(touched) < len(now):
                now[touched] += then[touched].logsumexp(0) - now[touched].logsumexp(0)


def log_probabilities(policy: Policy) -> list[NDArray[np.float64]]:
    """Log p of each option, one array (n_options,) per choice."""
    weights = policy.soft_mix().weights
    return [np.log(np.maximum(w.detach().cpu().double().numpy(), 1e-300)) for w in weights]
