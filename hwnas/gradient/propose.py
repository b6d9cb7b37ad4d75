"""The end of a search: the architectures that its policy proposes, within the budgets."""

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
from hwnas.tasks import Task

from .decode import Decoded, decode_seeds
from .loop import Loop
from .method import Method
from .parts.decoders import DECODERS, Decoding
from .parts.policy import log_probabilities
from .parts.relax import RELAXATIONS
from .settings import SearchSettings
from .step.optim import WeightOptimizer
from .step.passes import BatchSource, validation_pass, weight_pass
from .step.protocols import Policy, RelaxContext, SearchCosts
from .step.ranking import scores_of

_RANK_BATCHES = 4
"""Validation batches that rank an architecture; ranking 25 architectures costs about as much as 30 steps."""


class Searched(Protocol):
    """`search.GradientSearch`, as far as proposals need it."""

    space: Space
    supernet: nn.Module
    policy: Policy
    method: Method
    settings: SearchSettings
    train: BatchSource
    val: BatchSource
    task: Task
    loop: Loop

    @property
    def costs(self) -> SearchCosts:
        """What architectures cost."""
        ...

    @property
    def budgets(self) -> Sequence[Budget]:
        """The limits."""
        ...


def propose(search: Searched, n: int) -> list[Decoded]:
    """Up to `n` different architectures within the budgets, best first; see `SearchSettings.ranked`."""
    ranked = search.settings.ranked
    rng = np.random.default_rng([search.settings.seed, search.loop.step])
    decoding = _decoding(search, rng)
    decoded = bound(DECODERS, search.method.decode)(decoding)
    wanted = max(n, ranked + 1 if ranked else 0)
    seeds = decode_seeds(search.space, search.costs, decoding.scores, search.budgets, wanted, rng, decoded)
    if ranked:
        losses = [validation_loss(search, Mix.one_hot(search.space.choices, d.arch)) for d in seeds]
        seeds = [seeds[i] for i in np.argsort(losses, kind="stable")]
    return seeds[:n]


def validation_loss(search: Searched, mix: Mix, supernet: nn.Module | None = None) -> float:
    """Loss of a mix under the shared weights, summed over a few validation batches."""
    net = search.supernet if supernet is None else supernet
    batches = map(search.val.at, range(_RANK_BATCHES))
    return sum(float(validation_pass(net, mix, batch, search.task).loss) for batch in batches)


def _decoding(search: Searched, rng: np.random.Generator) -> Decoding:
    """What decoders see. `tune` trains a copy of the supernet, which is made at its first call."""
    choices, tuned = search.space.choices, [search.supernet]
    context = RelaxContext(choices, torch.Generator().manual_seed(int(rng.integers(2**31))))

    def draw() -> Arch:
        with torch.no_grad():
            mix = search.policy.draw(RELAXATIONS["sampled"], context)
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
        batch, smoothing = search.train.at(step), search.method.label_smoothing
        weight_pass(supernet, (mix,), batch, smoothing, where, task=search.task)
        optimizer.step(optimizer.lr_at(step))
