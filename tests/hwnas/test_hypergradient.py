"""First-order hypergradients against finite differences and against gates counted out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from hwnas.gradient.hypergradient import Scene
from hwnas.gradient.methods import METHODS, Method
from hwnas.gradient.objective import make_objective
from hwnas.gradient.optim import WeightOptimizer
from hwnas.gradient.policy import Logits
from hwnas.gradient.relax import Moment
from hwnas.mix import Mix
from hwnas.registry import part
from hwnas.testing.toy import GAIN, ToyBatches, ToySupernet, toy_costs, toy_space


def make_scene(method: Method, seed: int = 0) -> Scene:
    space, generator = toy_space(), torch.Generator().manual_seed(seed)
    net = ToySupernet().double()
    policy = method.make_policy(space.choices, generator)
    assert isinstance(policy, Logits)
    policy.double()
    with torch.no_grad():
        for i, a in enumerate(policy.logits):
            a.copy_(torch.tensor([0.4, -0.3, 0.1 * i]))

    def batch() -> tuple[torch.Tensor, torch.Tensor]:
        x, y = ToyBatches(1).at(0)
        return x.double(), y

    return Scene(
        supernet=net,
        policy=policy,
        relax=method.relax.resolve(),
        objective=make_objective(toy_costs(space), (), part("budget")),
        weights=WeightOptimizer(net.parameters(), method.weights, 10),
        moment=Moment(space.choices, generator),
        step=0,
        label_smoothing=0.0,
        train=batch,
        val=batch,
        where="test",
    )


def test_softmax_gradient_agrees_with_finite_differences() -> None:
    scene = make_scene(METHODS["darts"])
    METHODS["darts"].make_hypergradient().arch_step(scene)
    x, y = scene.val()

    def loss() -> float:
        with torch.no_grad():
            return F.cross_entropy(scene.supernet(x, scene.policy.soft_mix()), y).item()

    for a in scene.policy.parameters():
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
    scene = make_scene(replace(METHODS["proxyless-full"], relax=METHODS["proxyless-full"].relax))
    mix = METHODS["proxyless-full"].make_hypergradient().arch_step(scene).found.mix
    net, (x, y) = scene.supernet, scene.val()
    assert isinstance(net, ToySupernet) and mix.arch is not None
    state, outputs = x, []
    for c, k in enumerate(mix.arch):
        outputs.append([net.option(state, c, j).detach() for j in range(len(GAIN))])
        state = net.option(state, c, k)
        state.retain_grad()
        net.layers[c].grad = None
        outputs[c].append(state)  # the node's own output, whose gradient is dL/dout
    F.cross_entropy(state @ net.classify, y).backward()
    for c, a in enumerate(scene.policy.parameters()):
        flow = outputs[c][-1].grad
        assert flow is not None and a.grad is not None
        g = [float((flow * o).sum()) for o in outputs[c][:-1]]
        p = a.detach().softmax(0).tolist()
        expected = [sum(g[j] * p[j] * ((i == j) - p[i]) for j in range(3)) for i in range(3)]
        assert a.grad.tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", ["darts", "proxyless", "proxyless-full"])
def test_the_arch_step_touches_no_weight_and_the_weight_step_no_policy(name: str) -> None:
    scene = make_scene(METHODS[name])
    hypergradient = METHODS[name].make_hypergradient()
    hypergradient.arch_step(scene)
    assert all(w.grad is None for w in scene.supernet.parameters())
    for a in scene.policy.parameters():
        assert a.grad is not None and torch.isfinite(a.grad).all()
        a.grad = None
    found = hypergradient.weight_step(scene)
    assert found is not None and found.loss > 0
    assert all(a.grad is None for a in scene.policy.parameters())
    assert any(w.grad is not None for w in scene.supernet.parameters())


def test_costs_join_the_gradient_of_the_task() -> None:
    """With gates that pass no task gradient (hard), what is left is the closed form of the cost's."""
    method = METHODS["darts"]
    scene = make_scene(method)
    space = toy_space()
    from hwnas.budget import Budget

    objective = make_objective(toy_costs(space), [Budget("latency_ms", 6.0)], part("add", weight=1.0))
    hard = METHODS["proxyless"].relax.resolve().validation
    scene = replace(scene, objective=objective, relax=replace(scene.relax, arch=hard))
    method.make_hypergradient().arch_step(scene)
    costs = [4.0, 2.0, 1.0]
    for a in scene.policy.parameters():
        assert a.grad is not None
        p = a.detach().softmax(0).tolist()
        mean = sum(c * q for c, q in zip(costs, p, strict=True))
        expected = [q * (c - mean) / 6.0 for c, q in zip(costs, p, strict=True)]
        assert a.grad.tolist() == pytest.approx(expected, abs=1e-9)


def test_an_own_hypergradient_needs_no_change_to_the_loop() -> None:
    """The protocol carries a method that makes the weight step itself (unrolled, virtual step reused)."""
    from hwnas.gradient.hypergradient import ArchPass, FirstOrder
    from hwnas.gradient.passes import Pass

    class LookAhead(FirstOrder):
        def arch_step(self, scene: Scene) -> ArchPass:
            super().weight_step(scene)
            scene.weights.step(scene.step)
            return super().arch_step(scene)

        def weight_step(self, scene: Scene) -> Pass | None:  # type: ignore[override]
            return None

    scene = make_scene(METHODS["darts"])
    before = [w.detach().clone() for w in scene.supernet.parameters()]
    own = LookAhead()
    own.arch_step(scene)
    assert own.weight_step(scene) is None
    assert any(not torch.equal(a, b) for a, b in zip(before, scene.supernet.parameters(), strict=True))
    assert isinstance(scene.policy.soft_mix(), Mix)
