"""Policies: what is learned about the choices, and the mixes drawn from it.

A policy holds the architecture parameters, the alphas of DARTS. `LogitPolicy` is here, the LSTM of ENAS in
`controller.py`. What every policy must provide: `step.protocols.Policy`.

[1] Liu et al. 2019, DARTS, 1806.09055, section 2.2. [2] Cai et al. 2019, ProxylessNAS, 1812.00332, section
3.2.1. [3] Xu et al. 2020, PC-DARTS, 1907.05737, section 3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from hwnas.core.choice import Choice
from hwnas.core.fixed_index import take
from hwnas.core.mix import Mix
from hwnas.core.registry import Registry
from hwnas.gradient.step.active_options import ActiveOptions, all_options, restrict, scatter_mix
from hwnas.gradient.step.nodes import edge_groups, edge_softmax
from hwnas.gradient.step.protocols import Relax, RelaxContext

from .relax import concentration, dense

_INIT_STD = 1e-3
"""1e-3 N(0, 1): the start that DARTS and its successors publish; close to uniform, ties broken."""


MEANS: Registry[Callable[[Tensor], Tensor]] = Registry("mean")
"""The mean probabilities of a choice, (n_options,), from its logits (n_options,)."""


@MEANS.add("softmax")
def softmax_mean(a: Tensor) -> Tensor:
    """The softmax of the logits."""
    return F.softmax(a, dim=0)


@MEANS.add("sigmoid")
def sigmoid_mean(a: Tensor) -> Tensor:
    """The sigmoid of each logit; the options do not compete, so the result does not sum to 1."""
    return torch.sigmoid(a)


@MEANS.add("dirichlet")
def dirichlet_mean(a: Tensor) -> Tensor:
    """The mean of the distribution that the relaxation `dirichlet` samples."""
    return concentration(a) / concentration(a).sum()


POLICIES: Registry[Any] = Registry("policy")


@POLICIES.add("logits")
class LogitPolicy(nn.Module):
    """The alphas of DARTS: one vector of logits (n_options,) per choice, relaxed all at once [1].

    keep_untouched: after a step that touched only some options of a choice (two-path gates), shift
        those so that the probabilities of all others are what they were [2].
    mean: the mean probabilities (`MEANS`), by the relaxation that the method trains the logits under.
    edges: also one logit per edge of a node, whose softmax scales the edge [3].
    """

    reach = 5.0
    """Adam moves a logit by at most its learning rate per step that touches it, so with the published rate a
    search with few arch steps would end where it began. exp(5) = 150 : 1. Measured with two-path gates in the
    space `mobile`, 100 steps, budget 0.7 of the median: the loss of the policy's samples is 0.233 at a rate
    that ignores the share of touched options, 0.204 at one that counts it."""

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
        self.logits = nn.ParameterList(nn.Parameter(_start(len(c.options), generator)) for c in choices)
        self.edge_logits: nn.Parameter | None = None
        if edges and edge_groups(self.choices):
            self.edge_logits = nn.Parameter(_start(len(self.choices), generator))
        self._drawn: tuple[Tensor, ...] = ()
        self.restrict(all_options(choices))

    def restrict(self, active: ActiveOptions) -> None:
        """From now on draw among these options only."""
        self.active, self._active_choices = active, restrict(self.choices, active)

    def meet_devices(self, features: Tensor) -> None:
        """One policy for all devices."""

    def free_logits(self) -> tuple[Tensor, ...]:
        """Per choice the logits of the active options."""
        pairs = zip(self.logits, self.active, strict=True)
        return tuple(a if len(options) == len(a) else take(a, options) for a, options in pairs)

    def edge_weights(self) -> Tensor | None:
        """(n_choices,), softmax over the edges of each node; None for a policy without edge logits."""
        return None if self.edge_logits is None else edge_softmax(self.edge_logits, self.choices)

    def draw(self, relax: Relax, context: RelaxContext) -> Mix:
        """The mix of one step."""
        if self.keep_untouched:
            self._drawn = tuple(a.detach().clone() for a in self.logits)
        edge_weights = self.edge_weights()
        context = replace(context, choices=self._active_choices, edge_weights=edge_weights)
        return self._over_all_options(replace(relax(self.free_logits(), context), edge_weights=edge_weights))

    def soft_mix(self) -> Mix:
        """The mean probabilities per choice, with the joint entropy in nats of their shares."""
        probs = tuple(self._mean(a) for a in self.free_logits())
        entropy = torch.stack([torch.special.entr(p / p.sum()).sum() for p in probs]).sum()
        return self._over_all_options(
            replace(dense(probs), entropy=entropy, edge_weights=self.edge_weights())
        )

    def _over_all_options(self, mix: Mix) -> Mix:
        if self._active_choices == self.choices:
            return mix
        return scatter_mix(mix, self.choices, self.active)

    @torch.no_grad()
    def after_step(self, mix: Mix) -> None:
        """With `keep_untouched`, set the probability mass of the touched options back to what it was."""
        if not self.keep_untouched:
            return
        for now, then, active, probe in zip(self.logits, self._drawn, mix.active, mix.probe, strict=True):
            touched = [*active, *probe]
            if len(touched) < len(now):
                now[touched] += then[touched].logsumexp(0) - now[touched].logsumexp(0)


def _start(n: int, generator: torch.Generator) -> Tensor:
    """(n,), where the generator is."""
    return _INIT_STD * torch.randn(n, generator=generator, device=generator.device)


def log_probabilities(mix: Mix) -> list[NDArray[np.float64]]:
    """Log p of each option of a soft mix, (n_options,) per choice; plus the log of its edge's weight."""
    log_probs = [np.log(np.maximum(p.detach().cpu().double().numpy(), 1e-300)) for p in mix.probs]
    if mix.edge_weights is None:
        return log_probs
    edges = mix.edge_weights.detach().cpu().double().clamp_min(1e-300).log().numpy()
    return [p + e for p, e in zip(log_probs, edges, strict=True)]
