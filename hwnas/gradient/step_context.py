"""What one search step works with, and the passes that every hypergradient is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hwnas.core.choice import Arch
from hwnas.core.mix import Mix
from hwnas.gradient.parts.objective import Objective, Score
from hwnas.gradient.parts.policy import Policy
from hwnas.gradient.parts.regularisers import View
from hwnas.gradient.parts.relax import Relax, RelaxContext
from targets.errors import UsageError

from .optim import WeightOptimizer, require_finite
from .passes import Batch, Pass, accuracy, run_mix


@dataclass(frozen=True, slots=True)
class Places:
    """One value per place where a mix is drawn."""

    weight: Relax
    virtual: Relax
    arch: Relax
    validation: Relax


@dataclass(frozen=True, slots=True)
class StepContext:
    """All that one search step may use.

    train, val: functions, so that a batch that nobody asks for is never made. weight_rule: what a weight
    step runs. extremes: the smallest and the largest architecture of the space. before_weights: called when
    the gradients of a weight step are there and the step is not made yet.
    """

    supernet: nn.Module
    policy: Policy
    relax: Places
    objective: Objective
    weights: WeightOptimizer
    relax_context: RelaxContext
    step: int
    label_smoothing: float
    train: Callable[[], Batch]
    val: Callable[[], Batch]
    where: str
    weight_rule: WeightRule
    extremes: Callable[[], tuple[Arch, Arch]]
    before_weights: Sequence[Callable[[StepContext], None]] = ()

    def step_weights(self) -> None:
        """Change the weights by the gradients that are there: all weight steps go through here."""
        for call in self.before_weights:
            call(self)
        self.weights.step(self.step)


WeightRule = Callable[[StepContext], Pass]
"""Leaves the gradients of the training loss in the weights, none in the policy."""


@dataclass(frozen=True, slots=True)
class ArchPass:
    """An arch step: the pass on the validation batch, the score that was minimised.

    weight: the pass of the weight step, where the arch step has made that too.
    """

    found: Pass
    score: Score
    weight: Pass | None = None


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """What is built inside needs no gradient of the weights: a third of a backward pass less.

    Leaving them out of `torch.autograd.grad` is not enough: a function of our own (`depthwise._Fast`) is not
    told which of its gradients are wanted (pytorch issue 174017).
    """
    learned = [p for p in module.parameters() if p.requires_grad]
    for p in learned:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in learned:
            p.requires_grad_(True)


@contextmanager
def moved(parameters: Sequence[nn.Parameter], values: Sequence[Tensor]) -> Iterator[None]:
    """The parameters have other values inside; afterwards their own again, to the bit."""
    own = [p.data for p in parameters]
    for p, value in zip(parameters, values, strict=True):
        p.data = value.detach()
    try:
        yield
    finally:
        for p, value in zip(parameters, own, strict=True):
            p.data = value


@contextmanager
def same_noise() -> Iterator[Callable[[], None]]:
    """Gives a function that makes random layers draw again what they drew at the beginning of the block."""
    state = torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []

    def again() -> None:
        torch.set_rng_state(state)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)

    yield again


def training_loss(
    context: StepContext, mix: Mix, batch: Batch, tensors: Mapping[str, Tensor] | None = None
) -> tuple[Tensor, Pass]:
    """The loss that a weight step minimises."""
    x, y = batch
    logits = run_mix(context.supernet, mix, x, tensors)
    loss = F.cross_entropy(logits, y, label_smoothing=context.label_smoothing)
    return loss, Pass(mix, require_finite(loss, context.where), accuracy(logits, y))


def arch_score(
    context: StepContext, mix: Mix, batch: Batch, tensors: Mapping[str, Tensor] | None = None
) -> ArchPass:
    """The objective of an arch step; UsageError when no gradient can reach the policy from it."""
    x, y = batch
    logits = run_mix(context.supernet, mix, x, tensors)
    loss = F.cross_entropy(logits, y)
    found = Pass(mix, require_finite(loss, context.where), accuracy(logits, y))
    return ArchPass(found, score(context, loss, mix, context.policy.soft_mix()))


def score(context: StepContext, loss: Tensor, drawn: Mix, soft: Mix) -> Score:
    """The objective of a task loss; soft: what costs are expected of."""
    relax_context, policy = context.relax_context, context.policy
    view = View(drawn, soft, policy.free_logits(), relax_context.choices, relax_context.progress)
    return context.objective(loss.cpu(), view)


def require_gradient(context: StepContext, total: Tensor) -> None:
    """UsageError when the policy cannot learn from the objective."""
    if not total.requires_grad:
        raise UsageError(
            f"{context.where}: neither the relaxation of the arch step nor a cost gives the policy a "
            "gradient; relax by softmax or binary gates, or add a budget"
        )


@contextmanager
def twice(context: StepContext, instead: str) -> Iterator[None]:
    """UsageError for what torch cannot differentiate a second time: some operations, and compiled cells."""
    try:
        yield
    except RuntimeError as error:
        if not any(said in str(error) for said in ("not implemented", "twice", "double backward")):
            raise
        raise UsageError(
            f"{context.where}: torch cannot differentiate an operation of this network twice ({error}); "
            f"{instead}"
        ) from error


def leave(context: StepContext, gradients: Sequence[Tensor | None]) -> None:
    """Put the gradients where the optimiser of the policy finds them."""
    for parameter, gradient in zip(context.policy.parameters(), gradients, strict=True):
        parameter.grad = gradient


def plus(a: Tensor | None, b: Tensor | None, factor: float = 1.0) -> Tensor | None:
    """A + factor b, None counting as 0."""
    if b is None:
        return a
    return factor * b if a is None else a + factor * b


def leaves_of(mix: Mix) -> tuple[Mix, list[Tensor]]:
    """The mix on new leaves, and those: what a pass is differentiated by, whatever drew the mix."""
    weights = tuple(w.detach().clone().requires_grad_() for w in mix.probs)
    edges = None if mix.edge_weights is None else mix.edge_weights.detach().clone().requires_grad_()
    leaves = [*weights] if edges is None else [*weights, edges]
    return replace(mix, probs=weights, edge_weights=edges), leaves


def pull_back(context: StepContext, drawn: Mix, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
    """From gradients by the leaves of `drawn` to gradients by the parameters of the policy."""
    outputs = [*drawn.probs] if drawn.edge_weights is None else [*drawn.probs, drawn.edge_weights]
    pairs = [(o, g) for o, g in zip(outputs, gradients, strict=True) if g is not None and o.requires_grad]
    parameters = list(context.policy.parameters())
    if not pairs:
        return [None] * len(parameters)
    found = torch.autograd.grad(
        [o for o, _ in pairs],
        parameters,
        [g for _, g in pairs],
        allow_unused=True,
        retain_graph=True,
    )
    return list(found)
