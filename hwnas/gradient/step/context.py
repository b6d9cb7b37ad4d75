"""What one search step works with, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from hwnas.core.choice import Arch
from hwnas.core.mix import Mix
from hwnas.core.number import Number
from hwnas.data.batches import Batch
from hwnas.tasks import CLASSIFICATION, Task

from .devices import SearchDevice
from .optim import WeightOptimizer
from .passes import Pass
from .protocols import Policy, Relax, RelaxContext, Score, ScoreFunction


@dataclass(frozen=True, slots=True)
class Places:
    """The relaxation of each place where a mix is drawn."""

    weight: Relax
    virtual: Relax
    arch: Relax
    validation: Relax


@dataclass(frozen=True, slots=True)
class StepContext:
    """All that one search step may use.

    supernet: the network whose weights are shared; forward takes images and a mix.
    policy: what is learned about the choices.
    relax: the relaxation of each place.
    objective: from the task loss to the score that an arch step minimises.
    weights: the optimiser of the weights.
    relax_context: what the relaxations of this step depend on.
    step: its number in the search, from 0.
    lr: the learning rate of the weights in it.
    label_smoothing: of the training loss.
    train, val: functions, so that a batch that nobody asks for is never made.
    where: the step in words, for error messages.
    weight_rule: what a weight step runs.
    extremes: gives the smallest and the largest architecture of the space.
    devices: that the search is for.
    task: what is learned.
    before_weights: called when the gradients of a weight step are there and the step is not made yet.
    recorded: whether the step may become a CUDA graph. Nothing in it reads from the device then, its numbers
        are tensors, and whoever reads the losses afterwards checks that they are finite.
    """

    supernet: nn.Module
    policy: Policy
    relax: Places
    objective: ScoreFunction
    weights: WeightOptimizer
    relax_context: RelaxContext
    step: int
    lr: Number
    label_smoothing: float
    train: Callable[[], Batch]
    val: Callable[[], Batch]
    where: str
    weight_rule: WeightRule
    extremes: Callable[[], tuple[Arch, Arch]]
    devices: Sequence[SearchDevice]
    task: Task = CLASSIFICATION
    before_weights: Sequence[Callable[[StepContext], None]] = ()
    recorded: bool = False

    @property
    def checked_at(self) -> str | None:
        """`where`, if losses are checked as soon as they are there."""
        return None if self.recorded else self.where

    def draw(self, relax: Relax) -> Mix:
        """A mix of the policy by a relaxation of this step, `self.relax.arch` for example."""
        return self.policy.draw(relax, self.relax_context)

    def step_weights(self) -> None:
        """Change the weights by the gradients that are there: all weight steps go through here."""
        for call in self.before_weights:
            call(self)
        self.weights.step(self.lr)


WeightRule = Callable[[StepContext], Pass]
"""Leaves the gradients of the training loss in the weights, none in the policy."""


@dataclass(frozen=True, slots=True)
class ArchPass:
    """What an arch step did.

    forward: its pass, on the validation batch unless the hypergradient is single-level.
    score: what was minimised.
    weight: the pass of the weight step, where the arch step has made that too.
    """

    forward: Pass
    score: Score
    weight: Pass | None = None
