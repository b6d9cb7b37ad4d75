"""The passes and the gradient arithmetic that every hypergradient is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from hwnas.core.mix import Mix
from hwnas.core.number import Number
from hwnas.data.batches import Batch
from targets.errors import UsageError

from .context import ArchPass, StepContext
from .optim import checked_loss
from .passes import Pass, accuracy, run_mix
from .protocols import PolicyView, Score


@contextmanager
def frozen_weights(module: nn.Module) -> Iterator[None]:
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
def temporary_values(parameters: Sequence[nn.Parameter], values: Sequence[Tensor]) -> Iterator[None]:
    """The parameters have `values` inside; afterwards their former values again, to the bit."""
    former = [p.data for p in parameters]
    for p, value in zip(parameters, values, strict=True):
        p.data = value.detach()
    try:
        yield
    finally:
        for p, value in zip(parameters, former, strict=True):
            p.data = value


@contextmanager
def same_noise(context: StepContext) -> Iterator[Callable[[], None]]:
    """Gives a function that makes random layers draw again what they drew at the beginning of the block.

    A recorded step has no such layers (`recording`), and no generator is set back within a graph.
    """
    if context.recorded:
        yield lambda: None
        return
    state = torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []

    def rewind() -> None:
        torch.set_rng_state(state)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)

    yield rewind


@contextmanager
def double_backward(context: StepContext, alternative: str) -> Iterator[None]:
    """UsageError for what torch cannot differentiate a second time: some operations, and compiled cells.

    alternative: what the user can do instead.
    """
    try:
        yield
    except RuntimeError as error:
        if not any(words in str(error) for words in ("not implemented", "twice", "double backward")):
            raise
        raise UsageError(
            f"{context.where}: torch cannot differentiate an operation of this network twice ({error}); "
            f"{alternative}"
        ) from error


def training_loss(
    context: StepContext, mix: Mix, batch: Batch, tensors: Mapping[str, Tensor] | None = None
) -> tuple[Tensor, Pass]:
    """The loss that a weight step minimises, a scalar; `tensors` replace the supernet's of these names."""
    x, y = batch
    outputs = run_mix(context.supernet, mix, x, tensors)
    loss = context.task.loss(outputs, y, context.label_smoothing)
    return loss, Pass(mix, checked_loss(loss, context.checked_at), accuracy(outputs, y, context.task))


def arch_pass(
    context: StepContext, mix: Mix, batch: Batch, tensors: Mapping[str, Tensor] | None = None
) -> ArchPass:
    """A forward pass and its score; `tensors` replace the supernet's of these names."""
    x, y = batch
    outputs = run_mix(context.supernet, mix, x, tensors)
    loss = context.task.loss(outputs, y)
    forward = Pass(mix, checked_loss(loss, context.checked_at), accuracy(outputs, y, context.task))
    return ArchPass(forward, score(context, loss, mix, context.policy.soft_mix()))


def score(context: StepContext, loss: Tensor, drawn: Mix, soft: Mix) -> Score:
    """The objective of a task loss; soft: what costs are expected of."""
    view = PolicyView(
        drawn=drawn,
        soft=soft,
        logits=context.policy.free_logits(),
        choices=context.relax_context.choices,
        progress=context.relax_context.progress,
    )
    return context.objective(loss.to(soft.probs[0].device), view)


def require_gradient(context: StepContext, total: Tensor) -> None:
    """UsageError when the policy cannot learn from the objective."""
    if not total.requires_grad:
        raise UsageError(
            f"{context.where}: neither the relaxation of the arch step nor a cost gives the policy a "
            "gradient; relax by softmax or binary gates, or add a budget"
        )


def set_policy_gradients(context: StepContext, gradients: Sequence[Tensor | None]) -> None:
    """Put the gradients where the optimiser of the policy finds them."""
    for parameter, gradient in zip(context.policy.parameters(), gradients, strict=True):
        parameter.grad = gradient


def add_scaled(a: Tensor | None, b: Tensor | None, factor: Number = 1.0) -> Tensor | None:
    """A + factor b, None counting as 0."""
    if b is None:
        return a
    return factor * b if a is None else a + factor * b


def detach_mix(mix: Mix) -> tuple[Mix, list[Tensor]]:
    """The mix on new leaves, and those leaves.

    A pass can be differentiated by them, whatever drew the mix: one leaf (n_options,) per choice, then the
    edge weights (n_choices,) where the mix has them.
    """
    probs = tuple(p.detach().clone().requires_grad_() for p in mix.probs)
    edges = None if mix.edge_weights is None else mix.edge_weights.detach().clone().requires_grad_()
    leaves = [*probs] if edges is None else [*probs, edges]
    return replace(mix, probs=probs, edge_weights=edges), leaves


def backward_to_policy(
    context: StepContext, drawn: Mix, gradients: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """Gradients by the parameters of the policy, from gradients by the leaves of `detach_mix(drawn)`."""
    outputs = [*drawn.probs] if drawn.edge_weights is None else [*drawn.probs, drawn.edge_weights]
    pairs = [(o, g) for o, g in zip(outputs, gradients, strict=True) if g is not None and o.requires_grad]
    parameters = list(context.policy.parameters())
    if not pairs:
        return [None] * len(parameters)
    return list(
        torch.autograd.grad(
            [o for o, _ in pairs],
            parameters,
            [g for _, g in pairs],
            allow_unused=True,
            retain_graph=True,
        )
    )
