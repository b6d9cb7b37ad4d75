"""Callbacks: what watches a search and may freeze a part of it or stop it.

Their state is JSON, so that a resume goes on to the bit.

[1] Zela et al. 2020, RobustDARTS, 1909.09656, section 4.3. [2] Jiang et al. 2023, OLES, NeurIPS 2023.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hwnas.core.registry import Registry
from hwnas.gradient.optim import Rows
from hwnas.gradient.step_context import StepContext, arch_score, frozen, twice
from targets.errors import UsageError


class Callback(Protocol):
    """state: all that a resume needs, as JSON."""

    state: dict[str, Any]

    def before_weights(self, context: StepContext) -> None:
        """The gradients of a weight step are there, the step is not made yet."""

    def after_epoch(self, context: StepContext) -> bool:
        """Whether the search is to stop here."""
        ...

    def new_supernet(self) -> None:
        """A stage begins with another supernet: what was seen of the one before counts no more."""


@runtime_checkable
class HasEdges(Protocol):
    """`networks.cell_supernet.CellSupernet`: the weights of its edges are rows of stacked tensors."""

    def edge_rows(self) -> Iterator[Any]:
        """Where those of every operation of every edge lie."""
        ...


CALLBACKS: Registry[Any] = Registry("callback")


@CALLBACKS.add("stop_on_curvature")
class StopOnCurvature:
    """Stops when the largest eigenvalue of the Hessian of L_val by the policy grows too fast [1].

    With l the mean of the last `window` epochs and k = window: stop when l(i - k) / l(i) < ratio, and go
    back to the policy of epoch i - k. The eigenvalue is that of `iterations` power iterations by double
    backward on one validation batch.
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
        """Measure; stop and go back when it has grown."""
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
    """Of the Hessian of the arch step's objective by the policy, by power iteration."""
    parameters = list(context.policy.parameters())
    drawn = context.policy.draw(context.relax.arch, context.relax_context)
    with twice(context, "choose a method without stop_on_curvature, such as darts-2"):
        with frozen(context.supernet):
            total = arch_score(context, drawn, context.val()).score.total
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
    """Stops training an operation's weights once their gradients on training and validation data part [2].

    Every `every`-th step: the cosine of the two gradients, mean over the weight tensors of an operation with
    more than one dimension; one whose mean over the last `window` of them is below `threshold` is trained
    no more. An operation that did not run, or gave a tensor no gradient, is not compared.
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
        """Compare, decide, and keep what is frozen where it is."""
        operations = operations_of(context.supernet)
        if context.step % self.every == 0:
            self._compare(context, {n: o for n, o in operations.items() if n not in self.state["frozen"]})
        context.weights.still = [part for name in self.state["frozen"] for part in operations[name]]

    def after_epoch(self, context: StepContext) -> bool:
        """Never stops."""
        return False

    def _compare(self, context: StepContext, operations: Mapping[str, Sequence[Rows]]) -> None:
        with torch.no_grad():
            drawn = context.policy.draw(context.relax.weight, context.relax_context)
        tensors = {id(p): p for parts in operations.values() for p, _ in parts if p.grad is not None}
        if not tensors:
            return
        total = arch_score(context, drawn, context.val()).score.total
        found = torch.autograd.grad(total, list(tensors.values()), allow_unused=True)
        by_val = dict(zip(tensors, found, strict=True))
        for name, parts in operations.items():
            cosines = [_cosine(p.grad, by_val.get(id(p)), part) for p, part in parts]
            known = [c for c in cosines if c is not None]
            if not known:
                continue
            seen = self.state["cosines"].setdefault(name, [])
            seen.append(sum(known) / len(known))
            del seen[: -self.window]
            if len(seen) == self.window and sum(seen) / self.window < self.threshold:
                self.state["frozen"].append(name)
                del self.state["cosines"][name]


def operations_of(supernet: nn.Module) -> dict[str, list[Rows]]:
    """Per operation of every edge the parts of its weight tensors, where a supernet has edges.

    Elsewhere every weight tensor is an operation of its own.
    """
    named = {n: p for n, p in supernet.named_parameters() if p.ndim > 1}
    if not isinstance(supernet, HasEdges):
        return {name: [(p, slice(None))] for name, p in named.items()}
    found: dict[str, list[Rows]] = {}
    for edge in supernet.edge_rows():
        if edge.parameter in named:
            operation = f"{edge.plan}.{edge.choice}.{edge.option}"
            found.setdefault(operation, []).append((named[edge.parameter], edge.rows))
    return found


def _cosine(a: Tensor | None, b: Tensor | None, part: slice) -> float | None:
    """Of parts of two gradients; None where there is none, or nothing in it."""
    if a is None or b is None or not (bool(a[part].any()) and bool(b[part].any())):
        return None
    return float(F.cosine_similarity(a[part].reshape(-1), b[part].reshape(-1), dim=0))
