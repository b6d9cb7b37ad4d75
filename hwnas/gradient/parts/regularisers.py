"""Terms on the policy itself, added to the objective of the arch step with a weight that may ramp.

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

from hwnas.core.choice import NONE, Choice
from hwnas.core.mix import Mix
from hwnas.core.registry import Registry
from hwnas.gradient.nodes import nodes, strongest
from targets.errors import UsageError


@dataclass(frozen=True, slots=True)
class View:
    """What an arch step drew.

    drawn: the mix that ran. soft: the policy's mean mix. logits: of the options that are left, per choice.
    progress: 0 at the first step of the search, 1 at its last.
    """

    drawn: Mix
    soft: Mix
    logits: tuple[Tensor, ...]
    choices: tuple[Choice, ...]
    progress: float = 0.0


@dataclass(frozen=True, slots=True)
class Ramp:
    """A number that goes linearly from `start` to `end` over the search, and counts from `after` on."""

    start: float
    end: float
    after: float = 0.0

    def at(self, progress: float) -> float:
        """Its value."""
        return self.start + (self.end - self.start) * progress if progress >= self.after else 0.0


Regulariser = Callable[[View], Tensor]
REGULARISERS: Registry[Callable[..., Tensor]] = Registry("regulariser")


class Weighted(NamedTuple):
    """A regulariser and its weight over the search."""

    weight: Ramp
    term: Regulariser


@REGULARISERS.add("dal")
def dal(view: View) -> Tensor:
    """Mean over the nodes of MSE(m, hard(m)), m the mean mix whatever is drawn, hard without gradient [1].

    All cells count; the published code forgets the reduction cell. A choice without a node is its own.
    """
    weights = view.soft.probs
    arch = strongest(weights, view.soft.edge_weights, view.choices)
    goals = [
        F.one_hot(torch.tensor(i, device=w.device), len(w)).to(w) for i, w in zip(arch, weights, strict=True)
    ]
    in_nodes = {e for node in nodes(view.choices) for e in node.edges}
    for e in in_nodes:
        if view.choices[e].options[arch[e]] == NONE:
            goals[e] = torch.zeros_like(goals[e])
    groups = [n.edges for n in nodes(view.choices)]
    groups += [(i,) for i in range(len(weights)) if i not in in_nodes]
    return torch.stack(
        [F.mse_loss(torch.cat([weights[e] for e in g]), torch.cat([goals[e] for e in g])) for g in groups]
    ).mean()


@REGULARISERS.add("beta_decay")
def beta_decay(view: View) -> Tensor:
    """Mean over the choices of logsumexp(logits) [2]."""
    return torch.stack([a.logsumexp(0) for a in _logits(view, "beta_decay")]).mean()


@REGULARISERS.add("zero_one")
def zero_one(view: View) -> Tensor:
    """-mean (sigmoid(logit) - 1/2)^2: pushes every option to 0 or 1 [3]."""
    off_middle = torch.sigmoid(torch.cat(_logits(view, "zero_one"))) - 0.5
    return -(off_middle**2).mean()


@REGULARISERS.add("logit_norm")
def logit_norm(view: View) -> Tensor:
    """Half the squared distance of the logits from 0, those of the uniform prior Dirichlet(1) [4]."""
    return (torch.cat(_logits(view, "logit_norm")) ** 2).sum() / 2


@REGULARISERS.add("entropy")
def entropy(view: View) -> Tensor:
    """The entropy of the policy, in nats per choice; with a negative weight it keeps a policy open."""
    if view.soft.entropy is None:
        raise UsageError("regulariser 'entropy': this policy has no entropy")
    return view.soft.entropy / len(view.choices)


@REGULARISERS.add("skip_target")
def skip_target(view: View, *, target: float = 0.4) -> Tensor:
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
    return torch.stack([torch.stack(found).sum() for found in layers.values()] or [torch.zeros(())]).mean()


def _logits(view: View, name: str) -> tuple[Tensor, ...]:
    if not view.logits:
        raise UsageError(
            f"regulariser {name!r} acts on logits, and this policy has none; use policy 'logits'"
        )
    return view.logits
