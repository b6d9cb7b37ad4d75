"""First-order hypergradients against finite differences and against gates counted out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from hwnas.core.registry import part
from hwnas.gradient.method import Method
from hwnas.gradient.methods import METHODS
from hwnas.gradient.parts.hypergradient import Hypergradient
from hwnas.gradient.parts.objective import make_objective
from hwnas.gradient.parts.policy import LogitPolicy
from hwnas.gradient.step.context import StepContext
from tests.support.step_contexts import make_context
from tests.support.toy import GAIN, ToyBatches, ToySupernet, toy_costs, toy_space


def make_scene(method: Method, seed: int = 0) -> StepContext:
    space = toy_space()
    policy = method.make_policy(space.choices, torch.Generator().manual_seed(seed))
    assert isinstance(policy, LogitPolicy)
    policy.double()
    with torch.no_grad():
        for i, a in enumerate(policy.logits):
            a.copy_(torch.tensor([0.4, -0.3, 0.1 * i]))

    def batch() -> tuple[torch.Tensor, torch.Tensor]:
        x, y = ToyBatches(1).at(0)
        return x.double(), y

    return make_context(method, space, ToySupernet().double(), policy, toy_costs(space), batch, seed=seed)


def hypergradient_of(context: StepContext, method: Method) -> Hypergradient:
    return method.make_hypergradient(context.supernet, context.policy, torch.Generator().manual_seed(0))


def test_softmax_gradient_agrees_with_finite_differences() -> None:
    context = make_scene(METHODS["darts"])
    hypergradient_of(context, METHODS["darts"]).arch_step(context)
    x, y = context.val()

    def loss() -> float:
        with torch.no_grad():
            return F.cross_entropy(context.supernet(x, context.policy.soft_mix()), y).item()

    for a in context.policy.parameters():
        assert a.grad is not None
        for i in range(len(a)):
            with torch.no_grad():
                a[i] += 1e-5
                up = loss()
                a[i] -= 2e-5
                down = loss()
                a[i] += 1e-5
            assert a.grad[i].item() == pytest.approx((up - down) / 2e-5, abs=1e-8)


def test_full_gate_gradient_is_the_contraction_of_all_outputs_with_the_loss_gradient() -> None:
    """ProxylessNAS equation 4 with dL/dg_j = <dL/dout, o_j(x)>, each output computed here by hand."""
    context = make_scene(METHODS["proxyless-full"])
    mix = hypergradient_of(context, METHODS["proxyless-full"]).arch_step(context).forward.mix
    net, (x, y) = context.supernet, context.val()
    assert isinstance(net, ToySupernet) and mix.arch is not None
    state, outputs = x, []
    for c, k in enumerate(mix.arch):
        outputs.append([net.option(state, c, j).detach() for j in range(len(GAIN))])
        state = net.option(state, c, k)
        state.retain_grad()
        net.layers[c].grad = None
        outputs[c].append(state)  # the node's own output, whose gradient is dL/dout
    F.cross_entropy(state @ net.classify, y).backward()
    for c, a in enumerate(context.policy.parameters()):
        flow = outputs[c][-1].grad
        assert flow is not None and a.grad is not None
        g = [float((flow * o).sum()) for o in outputs[c][:-1]]
        p = a.detach().softmax(0).tolist()
        expected = [sum(g[j] * p[j] * ((i == j) - p[i]) for j in range(3)) for i in range(3)]
        assert a.grad.tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", ["darts", "proxyless", "proxyless-full"])
def test_the_arch_step_touches_no_weight_and_the_weight_step_no_policy(name: str) -> None:
    context = make_scene(METHODS[name])
    hypergradient = hypergradient_of(context, METHODS[name])
    hypergradient.arch_step(context)
    assert all(w.grad is None for w in context.supernet.parameters())
    for a in context.policy.parameters():
        assert a.grad is not None and torch.isfinite(a.grad).all()
        a.grad = None
    assert hypergradient.weight_step(context).loss > 0
    assert all(a.grad is None for a in context.policy.parameters())
    assert any(w.grad is not None for w in context.supernet.parameters())


def test_costs_join_the_gradient_of_the_task() -> None:
    """With gates that pass no task gradient (hard), what is left is the closed form of the cost's."""
    method = METHODS["darts"]
    context = make_scene(method)
    space = toy_space()
    from hwnas.core.budget import Budget

    objective = make_objective(toy_costs(space), [Budget("latency_ms", 6.0)], part("add", weight=1.0))
    hard = METHODS["proxyless"].relax.resolve().validation
    context = replace(context, objective=objective, relax=replace(context.relax, arch=hard))
    hypergradient_of(context, method).arch_step(context)
    costs = [4.0, 2.0, 1.0]
    for a in context.policy.parameters():
        assert a.grad is not None
        p = a.detach().softmax(0).tolist()
        mean = sum(c * q for c, q in zip(costs, p, strict=True))
        expected = [q * (c - mean) / 6.0 for c, q in zip(costs, p, strict=True)]
        assert a.grad.tolist() == pytest.approx(expected, abs=1e-9)


def test_single_level_leaves_both_gradients_of_one_batch_and_makes_the_weight_step() -> None:
    context = make_scene(METHODS["darts"])
    snas = replace(METHODS["darts"], hypergradient=part("single_level"))
    before = [w.detach().clone() for w in context.supernet.parameters()]
    x, y = context.train()
    loss = F.cross_entropy(context.supernet(x, context.policy.soft_mix()), y)
    parameters = [*context.policy.parameters(), *context.supernet.parameters()]
    expected = torch.autograd.grad(loss, parameters)
    out = hypergradient_of(context, snas).arch_step(context)
    assert out.weight is not None and out.weight.loss == pytest.approx(loss.item())
    for a, g in zip(context.policy.parameters(), expected, strict=False):
        torch.testing.assert_close(a.grad, g)
    lr, decay = 0.025, 3e-4
    for w, old, g in zip(context.supernet.parameters(), before, expected[3:], strict=True):
        torch.testing.assert_close(w.detach(), old - lr * (g + decay * old))
