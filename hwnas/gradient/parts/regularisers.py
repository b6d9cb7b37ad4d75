"""Regularisers: terms on the policy itself, added to the objective of the arch step with a weight.

A regulariser is a function PolicyView -> scalar, differentiable in the policy. Its weight may ramp.

[1] The code of DADARTS: discretisation additional loss. [2] Ye et al. 2022, beta-DARTS, 2203.01665,
equation 12. [3] Chu et al. 2020, FairDARTS, 1911.12126, equation 7. [4] Chen et al. 2021, DrNAS, 2006.10355,
section 3.2. [5] Pham et al. 2018, ENAS, 1802.03268, section 3.1, and its code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from hwnas.core.choice import NONE
from hwnas.core.node import nodes_of
from hwnas.core.number import Number
from hwnas.core.registry import Registry
from hwnas.gradient.step.nodes import discretise
from hwnas.gradient.step.protocols import PolicyView
from targets.errors import UsageError


@dataclass(frozen=True, slots=True)
class Ramp:
    """A number that goes linearly from `start` to `end` over the search, and counts from `after` on."""

    start: float
    end: float
    after: float = 0.0

    def at(self, progress: Number) -> Number:
        """Its value."""
        value = self.start + (self.end - self.start) * progress
        if isinstance(value, Tensor):
            return value * (progress >= self.after) if self.after else value
        return value if progress >= self.after else 0.0


Regulariser = Callable[[PolicyView], Tensor]
REGULARISERS: Registry[Callable[..., Tensor]] = Registry("regulariser")


class Weighted(NamedTuple):
    """A regulariser and its weight over the search."""

    weight: Ramp
    term: Regulariser


@REGULARISERS.add("dal")
def dal(view: PolicyView) -> Tensor:
    """Mean over the nodes of MSE(m, hard(m)), m the mean mix, hard without gradient [1].

    m: the probabilities of all edges of a node in one vector. hard(m): the same of the discretised
    architecture, 0 for an edge that is not kept. A choice without a node is a node of its own. All cells
    count; the published code leaves out the reduction cell.
    """
    probs = view.soft.probs
    arch = discretise(probs, view.soft.edge_weights, view.choices)
    targets = [
        F.one_hot(torch.tensor(i, device=p.device), len(p)).to(p) for i, p in zip(arch, probs, strict=True)
    ]
    in_nodes = {e for node in nodes_of(view.choices) for e in node.edges}
    for e in in_nodes:
        if view.choices[e].options[arch[e]] == NONE:
            targets[e] = torch.zeros_like(targets[e])
    groups = [n.edges for n in nodes_of(view.choices)]
    groups += [(i,) for i in range(len(probs)) if i not in in_nodes]
    return torch.stack(
        [F.mse_loss(torch.cat([probs[e] for e in g]), torch.cat([targets[e] for e in g])) for g in groups]
    ).mean()


@REGULARISERS.add("beta_decay")
def beta_decay(view: PolicyView) -> Tensor:
    """Mean over the choices of logsumexp(logits) [2]."""
    return torch.stack([a.logsumexp(0) for a in _logits(view, "beta_decay")]).mean()


@REGULARISERS.add("zero_one")
def zero_one(view: PolicyView) -> Tensor:
    """-mean (sigmoid(logit) - 1/2)^2: pushes every option to 0 or 1 [3]."""
    off_middle = torch.sigmoid(torch.cat(_logits(view, "zero_one"))) - 0.5
    return -(off_middle**2).mean()


@REGULARISERS.add("logit_norm")
def logit_norm(view: PolicyView) -> Tensor:
    """Half the squared distance of the logits from 0, those of the uniform prior Dirichlet(1) [4]."""
    return (torch.cat(_logits(view, "logit_norm")) ** 2).sum() / 2


@REGULARISERS.add("entropy")
def entropy(view: PolicyView) -> Tensor:
    """The entropy of the policy, in nats per choice; a negative weight keeps it high."""
    if view.soft.entropy is None:
        raise UsageError("regulariser 'entropy': this policy has no entropy")
    return view.soft.entropy / len(view.choices)


@REGULARISERS.add("skip_target")
def skip_target(view: PolicyView, *, target: float = 0.4) -> Tensor:
    """KL of the draw of each skip from `target`: sum per layer, mean over the layers [5].

    A skip is a choice between `none` and one other option; without any, this is 0. The published code
    compares sigmoid(logit) with the target, but draws with sigmoid(2 logit); here it is the latter.
    """
    if not 0 < target < 1:
        raise UsageError(f"regulariser 'skip_target': target must be between 0 and 1, got {target}")
    layers: dict[str, list[Tensor]] = {}
    for p, choice in zip(view.drawn.draw_probs or view.soft.probs, view.choices, strict=True):
        if len(choice.options) == 2 and NONE in choice.options and not choice.keep:
            on = p[1 - choice.options.index(NONE)].clamp(1e-6, 1 - 1e-6)
            kl = on * (on / target).log() + (1 - on) * ((1 - on) / (1 - target)).log()
            layers.setdefault(choice.node or choice.name.split(".")[0], []).append(kl)
    return torch.stack([torch.stack(skips).sum() for skips in layers.values()] or [torch.zeros(())]).mean()


def _logits(view: PolicyView, name: str) -> tuple[Tensor, ...]:
    if not view.logits:
        raise UsageError(
            f"regulariser {name!r} acts on logits, and this policy has none; use policy 'logits'"
        )
    return view.logits
