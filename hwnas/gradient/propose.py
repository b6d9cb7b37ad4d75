"""The end of a search: architectures that its policy proposes, within the budgets."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from torch import nn

from hwnas.core.budget import Budget
from hwnas.core.choice import Arch
from hwnas.core.mix import Mix
from hwnas.core.registry import bound
from hwnas.core.space import Space
from hwnas.gradient.parts.decoders import DECODERS, Decoding
from hwnas.gradient.parts.policy import Policy, log_probabilities
from hwnas.gradient.parts.relax import RELAXATIONS, RelaxContext

from .decode import Decoded, ExactCosts, decode_seeds
from .loop import Loop
from .method import Method
from .optim import WeightOptimizer
from .passes import BatchSource, validation_pass, weight_pass
from .settings import SearchSettings
from .units import scores_of

_RANK_BATCHES = 4
"""Validation batches that rank an architecture: 25 of them cost about as much as 30 steps."""


class Searched(Protocol):
    """`search.GradientSearch`, as far as proposals need it."""

    space: Space
    supernet: nn.Module
    policy: Policy
    method: Method
    settings: SearchSettings
    train: BatchSource
    val: BatchSource
    loop: Loop

    @property
    def costs(self) -> ExactCosts:
        """Exact costs of architectures."""
        ...

    @property
    def budgets(self) -> Sequence[Budget]:
        """What they must not exceed."""
        ...


def propose(search: Searched, n: int) -> list[Decoded]:
    """Up to `n` different architectures within the budgets, best first; see `SearchSettings.ranked`."""
    ranked = search.settings.ranked
    rng = np.random.default_rng([search.settings.seed, search.loop.step])
    view = _decoding(search, rng)
    decoded = bound(DECODERS, search.method.decode)(view)
    wanted = max(n, ranked + 1 if ranked else 0)
    found = decode_seeds(search.space, search.costs, view.scores, search.budgets, wanted, rng, decoded)
    if ranked:
        losses = [validation_loss(search, Mix.one_hot(search.space.choices, d.arch)) for d in found]
        found = [found[i] for i in np.argsort(losses, kind="stable")]
    return found[:n]


def validation_loss(search: Searched, mix: Mix, supernet: nn.Module | None = None) -> float:
    """Of a mix under the shared weights, summed over a few batches."""
    net = search.supernet if supernet is None else supernet
    return sum(validation_pass(net, mix, search.val.at(i)).loss for i in range(_RANK_BATCHES))


def _decoding(search: Searched, rng: np.random.Generator) -> Decoding:
    """What decoders see; they may train a copy of the supernet, which is made when they do."""
    choices, tuned = search.space.choices, [search.supernet]
    relax_context = RelaxContext(choices, torch.Generator().manual_seed(int(rng.integers(2**31))))

    def draw() -> Arch:
        with torch.no_grad():
            mix = search.policy.draw(RELAXATIONS["sampled"], relax_context)
        return tuple(active[0] for active in mix.active)

    def tune(mix: Mix, share: float) -> None:
        if tuned[0] is search.supernet:
            tuned[0] = copy.deepcopy(search.supernet)
        _tune(search, tuned[0], mix, round(share * search.settings.steps))

    with torch.no_grad():
        soft = search.policy.soft_mix()
    return Decoding(
        space=search.space,
        scores=scores_of(log_probabilities(soft), choices),
        soft=soft,
        sample=draw,
        loss=lambda mix: validation_loss(search, mix, tuned[0]),
        tune=tune,
        rng=rng,
    )


def _tune(search: Searched, supernet: nn.Module, mix: Mix, steps: int) -> None:
    """Train `supernet` under a fixed mix, from the rate that the search ended with."""
    sgd = search.settings.sgd(search.method.weights)
    sgd = replace(sgd, lr=sgd.min_lr or sgd.lr / 25, min_lr=0.0)
    optimizer = WeightOptimizer(supernet.parameters(), sgd, steps)
    for step in range(steps):
        where = f"decoding by {search.method.decode}, step {step + 1}"
        weight_pass(supernet, (mix,), search.train.at(step), search.method.label_smoothing, where)
        optimizer.step(step)
