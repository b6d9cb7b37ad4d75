"""Policies: what is learned about the choices, and the mixes drawn from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from hwnas.core.choice import Choice
from hwnas.core.mix import Mix
from hwnas.core.registry import Registry
from hwnas.gradient.nodes import edge_groups, per_node
from hwnas.gradient.restrict import Kept, everything, narrow, widen

from .relax import Relax, RelaxContext, concentration, dense

_INIT_STD = 1e-3
"""1e-3 N(0, 1): the start that DARTS and its successors publish; close to uniform, ties broken."""


class Policy(Protocol):
    """A learned distribution over architectures; `nn.Module` provides the first three methods.

    reach: how far a parameter must be able to move in a search, however few its steps; 0: as published.
    kept: per choice the options that are left.
    """

    reach: float
    kept: Kept

    def parameters(self) -> Iterator[nn.Parameter]:
        """What the arch step optimises."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All tensors by name."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """Put back what `state_dict` gave."""
        ...

    def draw(self, relax: Relax, relax_context: RelaxContext) -> Mix:
        """The mix of one step."""

    def soft_mix(self) -> Mix:
        """The probabilities themselves, differentiable, with their entropy: what costs and logs see."""

    def restrict(self, kept: Kept) -> None:
        """From now on draw among these options only."""

    def free_logits(self) -> tuple[Tensor, ...]:
        """Per choice the logits of the options that are left; empty for a policy that has none."""

    def after_step(self, mix: Mix) -> None:
        """Called once the optimiser has changed the parameters by the gradient that `mix` received."""


MEANS: Registry[Callable[[Tensor], Tensor]] = Registry("mean")
"""What the weights of a choice are on average, from its logits (n_options,)."""


@MEANS.add("softmax")
def softmax_mean(a: Tensor) -> Tensor:
    """Probabilities."""
    return F.softmax(a, dim=0)


@MEANS.add("sigmoid")
def sigmoid_mean(a: Tensor) -> Tensor:
    """Options that do not compete; they do not sum to 1."""
    return torch.sigmoid(a)


@MEANS.add("dirichlet")
def dirichlet_mean(a: Tensor) -> Tensor:
    """The mean of the distribution that the relaxation `dirichlet` samples."""
    return concentration(a) / concentration(a).sum()


POLICIES: Registry[Any] = Registry("policy")


@POLICIES.add("logits")
class Logits(nn.Module):
    """One free vector of logits per choice, relaxed all at once.

    keep_untouched: after a step that touched only some options of a choice (two-path gates), shift
        those so that the probabilities of all others are what they were (ProxylessNAS, section 3.2.1).
    mean: what the logits say on average, by the relaxation that the method trains them under (`MEANS`).
    edges: also one logit per edge of a node, whose softmax scales the edge (PC-DARTS, section 3.3).
    """

    reach = 5.0
    """Adam moves a logit by at most its learning rate per step that touches it, so a search with few arch
    steps would end where it began, whatever the data say. exp(5) = 150 : 1. Two-path gates on the space
    `mobile`, 100 steps, budget 0.7 of the median: loss of the policy's samples 0.233 at the rate without
    the touched share, 0.204 with it."""

    def __init__(
        self,
        choices: Sequence[Choice],
        generator: torch.Generator,
        *,
        keep_untouched: bool = False,
        mean: str = "softmax",
        edges: bool = False,
    ) -> None:
        super().__init__()
        self.choices = tuple(choices)
        self.keep_untouched, self._mean = keep_untouched, MEANS[mean]
        self.logits = nn.ParameterList(
            nn.Parameter(_INIT_STD * torch.randn(len(c.options), generator=generator)) for c in choices
        )
        self.edge_logits: nn.Parameter | None = None
        if edges and edge_groups(self.choices):
            self.edge_logits = nn.Parameter(_INIT_STD * torch.randn(len(self.choices), generator=generator))
        self._drawn: tuple[Tensor, ...] = ()
        self.restrict(everything(choices))

    def restrict(self, kept: Kept) -> None:
        """From now on draw among these options only."""
        self.kept, self._left = kept, narrow(self.choices, kept)

    def free_logits(self) -> tuple[Tensor, ...]:
        """Per choice the logits of the options that are left."""
        pairs = zip(self.logits, self.kept, strict=True)
        return tuple(a if len(left) == len(a) else a[list(left)] for a, left in pairs)

    def edge_weights(self) -> Tensor | None:
        """(n_choices,), softmax over the edges of each node; None for a policy without edge logits."""
        return None if self.edge_logits is None else per_node(self.edge_logits, self.choices)

    def draw(self, relax: Relax, relax_context: RelaxContext) -> Mix:
        """The mix of one step."""
        if self.keep_untouched:
            self._drawn = tuple(a.detach().clone() for a in self.logits)
        edge_weights = self.edge_weights()
        relax_context = replace(relax_context, choices=self._left, edge_weights=edge_weights)
        return self._whole(replace(relax(self.free_logits(), relax_context), edge_weights=edge_weights))

    def soft_mix(self) -> Mix:
        """The mean weights per choice, and the joint entropy in nats of their shares."""
        weights = tuple(self._mean(a) for a in self.free_logits())
        entropy = torch.stack([torch.special.entr(w / w.sum()).sum() for w in weights]).sum()
        return self._whole(replace(dense(weights), entropy=entropy, edge_weights=self.edge_weights()))

    def _whole(self, mix: Mix) -> Mix:
        return mix if self._left == self.choices else widen(mix, self.choices, self.kept)

    @torch.no_grad()
    def after_step(self, mix: Mix) -> None:
        """Put the probability mass of the touched options back to what it was, with `keep_untouched`."""
        if not self.keep_untouched:
            return
        for now, then, active, probe in zip(self.logits, self._drawn, mix.active, mix.probe, strict=True):
            touched = [*active, *probe]
            if len(touched) < len(now):
                now[touched] += then[touched].logsumexp(0) - now[touched].logsumexp(0)


def log_probabilities(mix: Mix) -> list[NDArray[np.float64]]:
    """Log p of each option of a soft mix, (n_options,) per choice; plus the log of its edge's weight."""
    found = [np.log(np.maximum(w.detach().cpu().double().numpy(), 1e-300)) for w in mix.probs]
    if mix.edge_weights is None:
        return found
    edges = mix.edge_weights.detach().cpu().double().clamp_min(1e-300).log().numpy()
    return [p + e for p, e in zip(found, edges, strict=True)]
