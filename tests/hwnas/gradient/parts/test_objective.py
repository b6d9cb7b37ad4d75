"""Objectives against hand calculation, and the budget multiplier against brute force."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from hwnas.core.budget import Budget
from hwnas.core.mix import Mix
from hwnas.core.registry import part
from hwnas.gradient.parts.objective import COST_TERMS, ArchObjective, BudgetTerm, make_objective
from hwnas.gradient.parts.policy import LogitPolicy
from hwnas.gradient.parts.regularisers import Ramp, Weighted
from hwnas.gradient.step.protocols import PolicyView
from targets.errors import UsageError
from tests.support.toy import ToyCosts, all_archs, toy_costs, toy_space


def test_expected_cost_has_the_closed_form_gradient() -> None:
    """E = sum_k p_k c_k, so dE/da_i = p_i (c_i - E)."""
    space = toy_space(1)
    policy = LogitPolicy(space.choices, torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        policy.logits[0].copy_(torch.tensor([0.5, -1.0, 2.0]))
    toy_costs(space).expected(policy.soft_mix())["latency_ms"].backward()
    p = policy.logits[0].detach().softmax(0)
    c = torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(policy.logits[0].grad, p * (c - p @ c))


def test_add_and_multiply_log_have_the_published_values() -> None:
    costs = {"latency_ms": torch.tensor(100.0)}
    budgets = [Budget("latency_ms", 80.0)]
    loss = torch.tensor(2.0)
    # 2 + 0.1 * 20 / 80; 0.2 * 2 * (ln 100 / ln 80)^0.3 = 0.4 * 1.050922^0.3
    assert COST_TERMS["add"](budgets).join(loss, costs).item() == pytest.approx(2.025)
    assert COST_TERMS["multiply_log"](budgets).join(loss, costs).item() == pytest.approx(0.406005, abs=1e-6)


def test_a_budget_that_is_met_costs_nothing_and_one_that_is_not_adapts() -> None:
    term = BudgetTerm([Budget("latency_ms", 10.0)], rate=0.5, stiffness=2.0)
    met, missed = {"latency_ms": torch.tensor(5.0)}, {"latency_ms": torch.tensor(20.0)}
    loss = torch.tensor(1.0)
    assert term.join(loss, met).item() == 1.0
    term.after_step(met)
    assert term.state == {"latency_ms": 0.0}
    # (2 ln 2)^2 / 4 = 0.480453
    assert term.join(loss, missed).item() == pytest.approx(1.480453, abs=1e-6)
    term.after_step(missed)
    assert term.state["latency_ms"] == pytest.approx(0.346574, abs=1e-6)  # ln 2 / 2


WORTH = [[-1.0, -0.55, 0.0], [-0.8, -0.1, 0.0], [-0.6, -0.5, 0.1]]
"""Loss of each option at each choice: what the task would say without noise."""


def descend(costs: ToyCosts, budgets: Sequence[Budget], steps: int = 400) -> tuple[float, Mix]:
    """Adam on logits under the budgets; returns the expected task loss and the final probabilities."""
    worth = [torch.tensor(row) for row in WORTH]
    policy = LogitPolicy(costs.space.choices, torch.Generator().manual_seed(0))
    objective = make_objective(costs, budgets, part("budget"))
    adam = torch.optim.Adam(list(policy.parameters()), lr=0.02, betas=(0.0, 0.999))
    for _ in range(steps):
        soft = policy.soft_mix()
        task = torch.stack([w @ row for w, row in zip(soft.probs, worth, strict=True)]).sum()
        score = objective(task, PolicyView(drawn=soft, soft=soft, logits=(), choices=costs.space.choices))
        adam.zero_grad()
        score.total.backward()
        adam.step()
        objective.after_step(score)
    return task.item(), policy.soft_mix()


def best_by_brute_force(costs: ToyCosts, budgets: Sequence[Budget]) -> float:
    archs = all_archs(costs.space)
    found = costs.of(archs)
    fits = [i for i in range(len(archs)) if all(found[b.metric][i] <= b.limit for b in budgets)]
    return min(sum(WORTH[c][k] for c, k in enumerate(archs[i])) for i in fits)


@pytest.mark.slow
@pytest.mark.parametrize(
    "budgets",
    [
        [Budget("latency_ms", 6.0)],
        [Budget("latency_ms", 8.0)],
        [Budget("latency_ms", 9.0), Budget("size_mb", 6.0)],
        [Budget("latency_ms", 100.0)],
    ],
    ids=str,
)
def test_the_multiplier_leads_to_the_constrained_optimum(budgets: list[Budget]) -> None:
    """A policy may mix, so it must do at least as well as the best architecture that fits, within 1 %."""
    costs = toy_costs(toy_space())
    task, soft = descend(costs, budgets)
    expected = costs.expected(soft)
    for b in budgets:
        assert expected[b.metric].item() <= b.limit * 1.01
    assert task <= best_by_brute_force(costs, budgets) + 0.02


def test_a_budget_on_something_that_has_no_cost_is_refused_with_the_choices() -> None:
    costs = toy_costs(toy_space())
    with pytest.raises(UsageError, match="'peak_memory_mb': this search has no such cost; known: latency_ms"):
        make_objective(costs, [Budget("peak_memory_mb", 1.0)], part("budget"))


def test_multiply_log_refuses_a_target_without_a_positive_logarithm() -> None:
    with pytest.raises(UsageError, match=r"must be above 1; latency_ms has 0\.8"):
        make_objective(toy_costs(toy_space()), [Budget("latency_ms", 0.8)], part("multiply_log"))


def test_regularisers_are_added_with_their_weight_which_may_ramp() -> None:
    costs = toy_costs(toy_space(1))
    soft = LogitPolicy(toy_space(1).choices, torch.Generator().manual_seed(0)).soft_mix()
    terms = [Weighted(Ramp(0.0, 4.0, after=0.25), lambda view: torch.tensor(2.0))]
    objective = ArchObjective(costs, BudgetTerm([]), terms)

    def total(progress: float) -> float:
        return objective(
            torch.tensor(1.0),
            PolicyView(drawn=soft, soft=soft, logits=(), choices=costs.space.choices, progress=progress),
        ).total.item()

    assert [total(p) for p in (0.0, 0.2, 0.5, 1.0)] == [1.0, 1.0, 5.0, 9.0]


def test_the_power_term_has_the_published_values() -> None:
    """accuracy (T / latency)^0.1 as a reward to maximise; loss (latency / T)^0.1 to minimise."""
    term = COST_TERMS["power"]([Budget("latency_ms", 80.0)], w=0.1)
    costs = {"latency_ms": torch.tensor(160.0)}
    assert term.join(torch.tensor(-0.7), costs).item() == pytest.approx(-0.7 * 0.5**0.1)
    assert term.join(torch.tensor(2.0), costs).item() == pytest.approx(2.0 * 2**0.1)
