"""Callbacks: the curvature by the whole Hessian, and operations that are frozen."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hwnas import supernets
from hwnas.core.registry import bound, part
from hwnas.costs.cost_model import CostModel
from hwnas.gradient.methods import METHODS
from hwnas.gradient.parts.callbacks import FreezeOperations, largest_eigenvalue, operations_of
from hwnas.gradient.parts.policy import LogitPolicy
from hwnas.gradient.parts.relax import dense
from hwnas.gradient.parts.weight_rules import WEIGHT_RULES
from hwnas.gradient.step.optim import TensorRows
from hwnas.spaces import load_space
from tests.support.step_contexts import make_context, toy_step


@pytest.mark.slow
def test_the_largest_eigenvalue_is_that_of_the_whole_hessian() -> None:
    context = toy_step("darts")
    policy = context.policy
    assert isinstance(policy, LogitPolicy)
    with torch.no_grad():
        for i, a in enumerate(policy.logits):
            a.copy_(torch.tensor([0.4, -0.3, 0.1 * i]))
    x, y = context.val()

    def loss(flat: torch.Tensor) -> torch.Tensor:
        weights = tuple(a.softmax(0) for a in flat.split(3))
        return torch.nn.functional.cross_entropy(context.supernet(x, dense(weights)), y)

    hessian = torch.autograd.functional.hessian(loss, torch.cat([a.detach() for a in policy.logits]))
    eigenvalues = torch.linalg.eigvalsh(hessian)
    by_size = eigenvalues[eigenvalues.abs().argmax()]
    assert largest_eigenvalue(context, 200) == pytest.approx(float(by_size), rel=0.01)


def test_operations_whose_gradients_part_are_trained_no_more() -> None:
    callback = FreezeOperations(threshold=1.1, window=1)  # a cosine is below 1.1 always
    context = toy_step("darts")
    bound(WEIGHT_RULES, part("plain"))(context)
    callback.before_weights(context)
    assert set(callback.state["frozen"]) == {n for n, _ in context.supernet.named_parameters()}
    before = [p.detach().clone() for p in context.supernet.parameters()]
    context.weights.step(context.lr)
    assert all(torch.equal(p, was) for p, was in zip(context.supernet.parameters(), before, strict=True))
    never = FreezeOperations(threshold=-1.1, window=1)
    bound(WEIGHT_RULES, part("plain"))(context)
    never.before_weights(context)
    assert never.state["frozen"] == []
    # same batch, same mix: the gradients agree
    assert all(c[0] == pytest.approx(1.0, abs=1e-4) for c in never.state["cosines"].values())


def test_one_operation_of_one_edge_is_frozen_while_those_in_the_same_tensor_learn_on() -> None:
    """OLES counts operations; the supernet of a cell space stacks those of all edges that leave a state."""
    space = load_space("nasbench201", image_size=16, in_channels=3, n_classes=4)
    net = supernets.make(space, replace(space.search_scale, cells=1, channels=4))
    x, y = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.arange(4)
    method = METHODS["oles"]
    policy = method.make_policy(space.choices, torch.Generator().manual_seed(0))
    context = make_context(method, space, net, policy, CostModel(space), lambda: (x, y))
    operations = operations_of(net)
    # three cells of six edges, each with a 1 x 1 and a 3 x 3 convolution
    assert {len(parts) for parts in operations.values()} == {1} and len(operations) == 3 * 6 * 2
    callback = FreezeOperations(threshold=-1.1, window=1)
    first = next(iter(operations))
    callback.state["frozen"] = [first]
    before = {n: p.detach().clone() for n, p in operations_at(operations).items()}
    for _ in range(2):
        bound(WEIGHT_RULES, part("plain"))(context)
        callback.before_weights(context)
        context.weights.step(context.lr)
    moved = {n: not torch.equal(p, before[n]) for n, p in operations_at(operations).items()}
    assert [n for n, m in moved.items() if not m] == [first]
    assert set(callback.state["cosines"]) == set(operations) - {first}


def operations_at(operations: dict[str, list[TensorRows]]) -> dict[str, torch.Tensor]:
    return {name: parts[0][0].detach()[parts[0][1]] for name, parts in operations.items()}
