"""One search step by hand: the context that a hypergradient works in, without a loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from hwnas.core.budget import Budget
from hwnas.core.registry import part
from hwnas.core.space import Space
from hwnas.data.batches import Batch
from hwnas.gradient.method import Method
from hwnas.gradient.methods import METHODS
from hwnas.gradient.parts.objective import make_objective
from hwnas.gradient.step.context import StepContext
from hwnas.gradient.step.devices import search_devices
from hwnas.gradient.step.optim import SGDSettings, WeightOptimizer
from hwnas.gradient.step.protocols import Policy, RelaxContext, SearchCosts
from tests.support.toy import ToyBatches, ToySupernet, toy_costs, toy_space


def make_context(
    method: Method,
    space: Space,
    net: nn.Module,
    policy: Policy,
    costs: SearchCosts,
    batch: Callable[[], Batch],
    *,
    budgets: Sequence[Budget] = (),
    own: nn.Module | None = None,
    sgd: SGDSettings | None = None,
    seed: int = 0,
) -> StepContext:
    """Step 0 of ten, both batches the same, draws by a generator of `seed`."""
    weights = WeightOptimizer(
        net.parameters(), sgd or method.weights, 10, own=own.parameters() if own else ()
    )
    return StepContext(
        supernet=net,
        policy=policy,
        relax=method.relax.resolve(),
        objective=make_objective(costs, budgets, part("budget"), method.make_regularisers()),
        weights=weights,
        relax_context=RelaxContext(space.choices, torch.Generator().manual_seed(seed)),
        step=0,
        lr=weights.lr_at(0),
        label_smoothing=0.0,
        train=batch,
        val=batch,
        where="test",
        weight_rule=method.make_weight_rule(method.stages[0]),
        extremes=lambda: ((0,) * len(space.choices), (1,) * len(space.choices)),
        devices=search_devices(space, costs),
    )


def toy_step(name: str, budgets: tuple[Budget, ...] = (), n: int = 3) -> StepContext:
    """Step 0 of a method on the toy of `n` choices, on one batch; a fresh policy."""
    method, space = METHODS[name], toy_space(n)
    policy = method.make_policy(space.choices, torch.Generator().manual_seed(0))
    x, y = ToyBatches(1).at(0)
    net = ToySupernet(n)
    return make_context(method, space, net, policy, toy_costs(space), lambda: (x, y), budgets=budgets)
