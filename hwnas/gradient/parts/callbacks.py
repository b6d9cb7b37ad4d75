"""Callbacks watch a search; they may freeze a part of it or stop it.

Their state is JSON, so that a resumed search does the same to the bit.

[1] Zela et al. 2020, RobustDARTS, 1909.09656, section 4.3. [2] Jiang et al. 2023, OLES, NeurIPS 2023.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hwnas.core.registry import Registry
from hwnas.gradient.step.context import StepContext
from hwnas.gradient.step.gradients import arch_pass, double_backward, frozen_weights
from hwnas.gradient.step.optim import TensorRows
from targets.errors import UsageError


class Callback(Protocol):
    """What watches a search; `state` is all that a resume needs, as JSON."""

    state: dict[str, Any]

    def before_weights(self, context: StepContext) -> None:
        """Called when the gradients of a weight step are there and the step is not made yet."""

    def after_epoch(self, context: StepContext) -> bool:
        """Whether the search stops here."""
        ...

    def new_supernet(self) -> None:
        """Called when a stage begins with another supernet: forget what belongs to the one before."""


@runtime_checkable
class HasEdges(Protocol):
    """`supernets.cell.CellSupernet`, whose weights of edges are rows of stacked tensors."""

    def edge_rows(self) -> Iterator[Any]:
        """Per operation of every edge where its weights lie."""
        ...


CALLBACKS: Registry[Any] = Registry("callback")


@CALLBACKS.add("stop_on_curvature")
class StopOnCurvature:
    """Stops when the largest eigenvalue of the Hessian of L_val by the policy grows too fast [1].

    l(i): mean of the eigenvalues of the last k = `window` epochs. Where l(i - k) / l(i) < `ratio`, the
    search stops and returns to the policy of epoch i - k. The eigenvalue is found by `iterations` power
    iterations with double backward on one validation batch.
    """

    def __init__(self, *, window: int = 5, ratio: float = 0.75, iterations: int = 20) -> None:
        if window < 1 or not 0 < ratio < 1:
            raise UsageError(
                f"stop_on_curvature: window must be at least 1 and ratio in (0, 1), got {window}, {ratio}"
            )
        self.window, self.ratio, self.iterations = window, ratio, iterations
        self.new_supernet()

    def new_supernet(self) -> None:
        """Begin the history again."""
        self.state: dict[str, Any] = {"eigenvalues": [], "policies": []}

    def before_weights(self, context: StepContext) -> None:
        """Nothing."""

    def after_epoch(self, context: StepContext) -> bool:
        """Add the eigenvalue of this epoch; if it grew too fast, restore the earlier policy and stop."""
        parameters = list(context.policy.parameters())
        eigenvalues, policies = self.state["eigenvalues"], self.state["policies"]
        eigenvalues.append(largest_eigenvalue(context, self.iterations))
        policies.append([p.detach().cpu().tolist() for p in parameters])
        del policies[: -(self.window + 1)]
        means = [
            sum(eigenvalues[i - self.window : i]) / self.window
            for i in range(self.window, len(eigenvalues) + 1)
        ]
        if len(means) <= self.window or means[-1 - self.window] >= self.ratio * means[-1]:
            return False
        with torch.no_grad():
            for p, values in zip(parameters, policies[0], strict=True):
                p.copy_(torch.tensor(values, dtype=p.dtype))
        return True


def largest_eigenvalue(context: StepContext, iterations: int) -> float:
    """The largest eigenvalue of the Hessian of the objective by the policy, by power iteration."""
    parameters = list(context.policy.parameters())
    drawn = context.draw(context.relax.arch)
    with double_backward(context, "choose a method without stop_on_curvature, such as darts-2"):
        with frozen_weights(context.supernet):
            total = arch_pass(context, drawn, context.val()).score.total
        return _power_iteration(total, parameters, iterations)


def _power_iteration(total: Tensor, parameters: list[nn.Parameter], iterations: int) -> float:
    first = torch.autograd.grad(total, parameters, create_graph=True, allow_unused=True)
    pairs = [(p, g) for p, g in zip(parameters, first, strict=True) if g is not None and g.requires_grad]
    if not pairs:
        return 0.0
    flat = torch.cat([g.reshape(-1) for _, g in pairs])
    v = F.normalize(torch.ones_like(flat) + torch.arange(len(flat)).to(flat) / len(flat), dim=0).detach()
    value = 0.0
    for _ in range(iterations):
        second = torch.autograd.grad(flat @ v, [p for p, _ in pairs], retain_graph=True, allow_unused=True)
        hv = torch.cat(
            [
                (torch.zeros_like(p) if h is None else h).reshape(-1)
                for (p, _), h in zip(pairs, second, strict=True)
            ]
        ).detach()
        value = float(v @ hv)
        v = F.normalize(hv, dim=0)
    return value


@CALLBACKS.add("freeze_operations")
class FreezeOperations:
    """Freezes an operation whose gradients on training and on validation data disagree [2].

    Every `every`-th step gives the cosine of the two gradients, the mean over the weight tensors of an
    operation with more than one dimension. An operation is frozen when the mean of its last `window` cosines
    is below `threshold`. An operation that did not run, or whose tensors got no gradient, is not compared.
    """

    def __init__(self, *, threshold: float = 0.4, window: int = 20, every: int = 1) -> None:
        if window < 1 or every < 1:
            raise UsageError(f"freeze_operations: window and every must be at least 1, got {window}, {every}")
        self.threshold, self.window, self.every = threshold, window, every
        self.new_supernet()

    def new_supernet(self) -> None:
        """Train every operation again."""
        self.state: dict[str, Any] = {"frozen": [], "cosines": {}}

    def before_weights(self, context: StepContext) -> None:
        """Compare, decide, and keep the frozen operations unchanged."""
        operations = operations_of(context.supernet)
        if context.step % self.every == 0:
            self._compare(context, {n: o for n, o in operations.items() if n not in self.state["frozen"]})
        context.weights.still = [part for name in self.state["frozen"] for part in operations[name]]

    def after_epoch(self, context: StepContext) -> bool:
        """Never stops."""
        return False

    def _compare(self, context: StepContext, operations: Mapping[str, Sequence[TensorRows]]) -> None:
        with torch.no_grad():
            drawn = context.draw(context.relax.weight)
        tensors = {id(p): p for parts in operations.values() for p, _ in parts if p.grad is not None}
        if not tensors:
            return
        total = arch_pass(context, drawn, context.val()).score.total
        gradients = torch.autograd.grad(total, list(tensors.values()), allow_unused=True)
        by_val = dict(zip(tensors, gradients, strict=True))
        for name, parts in operations.items():
            cosines = [_cosine(p.grad, by_val.get(id(p)), part) for p, part in parts]
            compared = [c for c in cosines if c is not None]
            if not compared:
                continue
            history = self.state["cosines"].setdefault(name, [])
            history.append(sum(compared) / len(compared))
            del history[: -self.window]
            if len(history) == self.window and sum(history) / self.window < self.threshold:
                self.state["frozen"].append(name)
                del self.state["cosines"][name]


def operations_of(supernet: nn.Module) -> dict[str, list[TensorRows]]:
    """Per operation of every edge the parts of its weight tensors, where a supernet has edges.

    Elsewhere every weight tensor is an operation of its own.
    """
    named = {n: p for n, p in supernet.named_parameters() if p.ndim > 1}
    if not isinstance(supernet, HasEdges):
        return {name: [(p, slice(None))] for name, p in named.items()}
    operations: dict[str, list[TensorRows]] = {}
    for edge in supernet.edge_rows():
        if edge.parameter in named:
            operation = f"{edge.plan}.{edge.choice}.{edge.option}"
            operations.setdefault(operation, []).append((named[edge.parameter], edge.rows))
    return operations


def _cosine(a: Tensor | None, b: Tensor | None, part: slice) -> float | None:
    """Cosine of the same rows of two gradients; None where one is missing or 0."""
    if a is None or b is None or not (bool(a[part].any()) and bool(b[part].any())):
        return None
    return float(F.cosine_similarity(a[part].reshape(-1), b[part].reshape(-1), dim=0))
