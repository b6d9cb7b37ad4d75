"""Objectives: one scalar from the task loss and the expected costs of the policy.

A cost term says how costs enter the loss; every one is a class called with (budgets, options of the row).
Costs are expected of the policy's probabilities and not of the sampled gates, because the contraction with
tables is exact and has no sampling noise. E_i: the expected cost of budget i, a scalar; T_i: its limit.

[1] Cai et al. 2019, ProxylessNAS, 1812.00332, and its public code (add, multiply-log).
[2] Nocedal and Wright 2006, section 17.4: the augmented Lagrangian for inequalities.
[3] Tan et al. 2019, MnasNet, 1807.11626, equation 2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from hwnas.core.budget import Budget
from hwnas.core.number import may_count
from hwnas.core.registry import Part, Registry, check_part
from hwnas.gradient.step.nodes import with_kept_edges
from hwnas.gradient.step.protocols import PolicyView, Score, SearchCosts
from targets.errors import UsageError, did_you_mean

from .regularisers import Weighted


class CostTerm(Protocol):
    """How the costs enter the loss; `state` is all that a resume needs, as JSON."""

    state: dict[str, float]

    def join(self, loss: Tensor, costs: Mapping[str, Tensor]) -> Tensor:
        """The loss with the costs in it."""

    def after_step(self, costs: Mapping[str, Tensor]) -> None:
        """Adapt to the costs of the arch step."""


COST_TERMS: Registry[Any] = Registry("cost objective")


@COST_TERMS.add("budget")
class BudgetTerm:
    """Each budget is a constraint g_i = log(E_i / T_i) <= 0 with a multiplier m_i that adapts [2].

        loss + sum_i (max(0, m_i + stiffness g_i)^2 - m_i^2) / (2 stiffness)
        after each arch step: m_i <- max(0, m_i + rate g_i)

    The logarithm makes budgets of different units comparable. The stiffness damps the oscillation that the
    multiplier alone would cause: at stiffness 2 the toy of test_objective.py still oscillates by 20 % after
    1,500 steps, at 10 it settles within 100.
    """

    def __init__(self, budgets: Sequence[Budget], *, rate: float = 1.0, stiffness: float = 10.0) -> None:
        self.budgets, self.rate, self.stiffness = tuple(budgets), rate, stiffness
        self._multipliers = {b.metric: torch.zeros(()) for b in self.budgets}

    def join(self, loss: Tensor, costs: Mapping[str, Tensor]) -> Tensor:
        """The augmented Lagrangian."""
        for b in self.budgets:
            m = self._multiplier(b, costs[b.metric].device)
            push = (m + self.stiffness * (costs[b.metric] / b.limit).log()).clamp_min(0.0)
            loss = loss + (push**2 - m**2) / (2 * self.stiffness)
        return loss

    @torch.no_grad()
    def after_step(self, costs: Mapping[str, Tensor]) -> None:
        """Move each multiplier by its constraint."""
        for b in self.budgets:
            excess = (costs[b.metric] / b.limit).log()
            self._multiplier(b, excess.device).add_(self.rate * excess).clamp_min_(0.0)

    @property
    def state(self) -> dict[str, float]:
        """The multipliers by metric."""
        return {metric: float(m) for metric, m in self._multipliers.items()}

    @state.setter
    def state(self, state: Mapping[str, float]) -> None:
        for metric, value in state.items():
            self._multipliers[metric].fill_(value)

    def _multiplier(self, budget: Budget, device: torch.device) -> Tensor:
        """A scalar that keeps its place, on the device of the costs."""
        if self._multipliers[budget.metric].device != device:
            self._multipliers[budget.metric] = self._multipliers[budget.metric].to(device)
        return self._multipliers[budget.metric]


@COST_TERMS.add("add")
class AddTerm:
    """loss + weight sum_i (E_i - T_i) / T_i [1, add#linear]."""

    def __init__(self, budgets: Sequence[Budget], *, weight: float = 0.1) -> None:
        self.budgets, self.weight = tuple(budgets), weight
        self.state: dict[str, float] = {}

    def join(self, loss: Tensor, costs: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum."""
        return loss + self.weight * sum(
            (costs[b.metric] / b.limit - 1 for b in self.budgets), loss.new_zeros(())
        )

    def after_step(self, costs: Mapping[str, Tensor]) -> None:
        """Nothing adapts."""


@COST_TERMS.add("multiply_log")
class MultiplyLogTerm:
    """a loss prod_i (log E_i / log T_i)^b [1, mul#log]."""

    def __init__(self, budgets: Sequence[Budget], *, a: float = 0.2, b: float = 0.3) -> None:
        for budget in budgets:
            if budget.limit <= 1:
                raise UsageError(
                    "cost objective 'multiply_log' takes the logarithm of the target, which must be above 1; "
                    f"{budget.metric} has {budget.limit:g}. Use 'budget' or 'add'"
                )
        self.budgets, self.a, self.b = tuple(budgets), a, b
        self.state: dict[str, float] = {}

    def join(self, loss: Tensor, costs: Mapping[str, Tensor]) -> Tensor:
        """The product. Costs at or below 1, where the power is not defined, count as 1.001."""
        for budget in self.budgets:
            ratio = costs[budget.metric].clamp_min(1.001).log() / math.log(budget.limit)
            loss = loss * ratio**self.b
        return self.a * loss if self.budgets else loss

    def after_step(self, costs: Mapping[str, Tensor]) -> None:
        """Nothing adapts."""


@COST_TERMS.add("power")
class PowerTerm:
    """loss prod_i (E_i / T_i)^w; a negative loss is a reward and gets (T_i / E_i)^w [1, REINFORCE; 3]."""

    def __init__(self, budgets: Sequence[Budget], *, w: float = 0.1) -> None:
        self.budgets, self.w = tuple(budgets), w
        self.state: dict[str, float] = {}

    def join(self, loss: Tensor, costs: Mapping[str, Tensor]) -> Tensor:
        """The product."""
        for b in self.budgets:
            loss = loss * (costs[b.metric] / b.limit) ** (self.w * loss.detach().sign())
        return loss

    def after_step(self, costs: Mapping[str, Tensor]) -> None:
        """Nothing adapts."""


class ArchObjective:
    """The objective of arch steps: task loss, cost term and regularisers.

    costs: what is expected of the policy's mean mix.
    term: how the costs enter the loss.
    regularisers: what is added, each with its weight over the search.
    """

    def __init__(self, costs: SearchCosts, term: CostTerm, regularisers: Sequence[Weighted] = ()) -> None:
        self.costs, self.term, self.regularisers = costs, term, tuple(regularisers)

    def __call__(self, task_loss: Tensor, view: PolicyView) -> Score:
        """The scalar to minimise; its gradient reaches the policy through the view."""
        expected = self.costs.expected(with_kept_edges(view.soft, view.choices))
        extra = task_loss.new_zeros(())
        for ramp, regulariser in self.regularisers:
            if may_count(weight := ramp.at(view.progress)):
                extra = extra + weight * regulariser(view)
        costs = {name: value.detach() for name, value in expected.items()}
        return Score(self.term.join(task_loss, expected) + extra, costs, extra, expected)

    def after_step(self, score: Score) -> None:
        """Let the cost term adapt; called once per arch step."""
        self.term.after_step(score.costs)


def make_objective(
    costs: SearchCosts,
    budgets: Sequence[Budget],
    term: Part,
    regularisers: Sequence[Weighted] = (),
) -> ArchObjective:
    """The objective of a method's row under the user's budgets; UsageError for a metric without costs."""
    for budget in budgets:
        if budget.metric not in costs.metrics:
            raise UsageError(
                f"budget on {budget.metric!r}: this search has no such cost; "
                f"{did_you_mean(budget.metric, costs.metrics)}"
            )
    check_part(COST_TERMS, term, "the objective")
    return ArchObjective(costs, COST_TERMS[term.name](budgets, **term.keywords), regularisers)
