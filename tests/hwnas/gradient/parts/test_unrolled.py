"""The unrolled hypergradient against closed forms, double backward and hand-made steps; all in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hwnas.core.mix import Mix
from hwnas.core.registry import part
from hwnas.gradient.method import Method
from hwnas.gradient.methods import METHODS
from hwnas.gradient.parts.policy import LogitPolicy
from hwnas.gradient.step.context import StepContext
from hwnas.gradient.step.optim import DivergedError, SGDSettings, WeightOptimizer
from hwnas.gradient.step.passes import run_mix
from hwnas.gradient.step.protocols import RelaxContext
from targets.errors import UsageError
from tests.support.step_contexts import make_context
from tests.support.toy import ToyBatches, ToySupernet, toy_costs, toy_space

SGD = SGDSettings(lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.01, clip=None)


def smooth_scene(method: Method, sgd: SGDSettings = SGD) -> StepContext:
    """Softmax over tanh layers: smooth everywhere. Train and validation batches differ."""
    space = toy_space()
    policy = method.make_policy(space.choices, torch.Generator().manual_seed(0))
    assert isinstance(policy, LogitPolicy)
    policy.double()
    with torch.no_grad():
        for i, a in enumerate(policy.logits):
            a.copy_(torch.tensor([0.4, -0.3, 0.1 * i]))

    def batch(seed: int) -> Callable[[], tuple[Tensor, Tensor]]:
        x, y = ToyBatches(seed).at(0)
        return lambda: (x.double(), y)

    net = ToySupernet().double()
    context = make_context(method, space, net, policy, toy_costs(space), batch(1), sgd=sgd)
    context = replace(context, val=batch(2))
    for i, p in enumerate(context.weights.parameters):  # momentum of an earlier step
        noise = torch.randn(p.shape, generator=torch.Generator().manual_seed(i), dtype=p.dtype)
        context.weights.sgd.state[p]["momentum_buffer"] = 0.1 * noise
    return context


def arch_gradient(context: StepContext, **options: Any) -> Tensor:
    method = replace(METHODS["darts"], hypergradient=part("unrolled", **options))
    made = method.make_hypergradient(context.supernet, context.policy, torch.Generator())
    made.arch_step(context)
    return torch.cat([a.grad for a in context.policy.parameters() if a.grad is not None])


def oracle(context: StepContext) -> Tensor:
    """d L_val(w - lr (m buf + g + decay w), alpha) / d alpha by double backward, written out."""
    x, y = context.train()
    names = [n for n, _ in context.supernet.named_parameters()]
    w = list(context.supernet.parameters())
    loss = F.cross_entropy(context.supernet(x, context.policy.soft_mix()), y)
    g = torch.autograd.grad(loss, w, create_graph=True)
    s = context.weights.settings
    stepped = []
    for p, gp in zip(w, g, strict=True):
        d = gp + s.weight_decay * p
        buffer = s.momentum * context.weights.sgd.state[p]["momentum_buffer"] + d
        stepped.append(p - s.lr * (d + s.momentum * buffer if s.nesterov else buffer))
    x, y = context.val()
    logits = run_mix(context.supernet, context.policy.soft_mix(), x, dict(zip(names, stepped, strict=True)))
    return torch.cat(torch.autograd.grad(F.cross_entropy(logits, y), list(context.policy.parameters())))


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("options", [{"exact": True}, {"r": 0.01}, {"r": 0.01, "reuse": True}])
def test_on_a_smooth_network_it_equals_double_backward(options: dict[str, Any], nesterov: bool) -> None:
    sgd = replace(SGD, nesterov=nesterov)
    expected = oracle(smooth_scene(METHODS["darts"], sgd))
    found = arch_gradient(smooth_scene(METHODS["darts"], sgd), **options)
    assert float((found - expected).norm() / expected.norm()) < (1e-12 if "exact" in options else 1e-3)


def test_one_sided_is_the_same_to_first_order_in_r() -> None:
    expected = oracle(smooth_scene(METHODS["darts"]))
    errors = []
    for r in (1e-2, 1e-3):
        found = arch_gradient(smooth_scene(METHODS["darts"]), r=r, one_sided=True)
        errors.append(float((found - expected).norm() / expected.norm()))
    assert errors[1] < 1e-3 and errors[1] < errors[0] / 5


def test_the_hessian_term_matters_here() -> None:
    """Otherwise the tests above would pass without it; pt.darts scales it by eps^2, which is without it."""
    context = smooth_scene(METHODS["darts"])
    full = arch_gradient(context, r=0.01)
    values, _ = context.weights.ahead(context.lr, train_gradients(context))
    with torch.no_grad():
        for p, v in zip(context.supernet.parameters(), values, strict=True):
            p.copy_(v)
    x, y = context.val()
    loss = F.cross_entropy(context.supernet(x, context.policy.soft_mix()), y)
    without = torch.cat(torch.autograd.grad(loss, list(context.policy.parameters())))
    assert float((full - without).norm() / full.norm()) > 0.02


class Quadratic(nn.Module):
    """Logits whose cross-entropy is exactly w^T H w / 2 + w^T B a + const: for the closed form.

    The loss L is put into two logits (0, log(e^L - 1)) of class 0, since log(1 + e^z) = L.
    """

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        root = torch.randn(4, 4, generator=generator, dtype=torch.float64)
        self.h = root @ root.T / 4 + torch.eye(4)
        self.b = torch.randn(4, 3, generator=generator, dtype=torch.float64)
        self.c = torch.randn(4, generator=generator, dtype=torch.float64)
        self.w = nn.Parameter(torch.randn(4, generator=generator, dtype=torch.float64))

    def forward(self, x: Tensor, mix: Mix) -> Tensor:
        a = mix.probs[0]
        training = self.w @ self.h @ self.w / 2 + self.w @ self.b @ a
        validation = ((self.w - self.c) ** 2).sum() / 2 + a @ a
        loss = 20 + (training if x[0, 0] == 0 else validation)
        return torch.stack([torch.zeros(()), torch.log(torch.expm1(loss))])[None]


def quadratic_scene(method: Method, net: nn.Module, sgd: SGDSettings) -> StepContext:
    """The mix is the logits themselves, so that alpha enters the loss as it is."""
    space = toy_space(1)
    policy = method.make_policy(space.choices, torch.Generator().manual_seed(0))
    assert isinstance(policy, LogitPolicy)
    policy.double()
    with torch.no_grad():
        policy.logits[0].copy_(torch.tensor([0.3, -0.2, 0.5]))

    def batch(kind: float) -> tuple[Tensor, Tensor]:
        return torch.full((1, 1), kind, dtype=torch.float64), torch.zeros(1, dtype=torch.long)

    def identity(logits: Sequence[Tensor], context: RelaxContext) -> Mix:
        return Mix(tuple(a * 1 for a in logits), ((0, 1, 2),), ((),))

    context = make_context(method, space, net, policy, toy_costs(space), lambda: batch(0.0), sgd=sgd)
    places = replace(context.relax, weight=identity, virtual=identity, arch=identity, validation=identity)
    return replace(context, relax=places, val=lambda: batch(1.0))


@pytest.mark.parametrize("options", [{"r": 0.01}, {"exact": True}, {"r": 0.5}, {"r": 0.3, "reuse": True}])
def test_on_a_quadratic_it_is_the_closed_form(options: dict[str, Any]) -> None:
    """L_tr = w'Hw/2 + w'Ba, L_val = |w - c|^2/2 + |a|^2: g = 2a - xi B' (w1 - c), w1 = w - xi (Hw + Ba)."""
    xi, net = 0.1, Quadratic()
    sgd = SGDSettings(lr=xi, momentum=0.0, nesterov=False, weight_decay=0.0, clip=None)
    context = quadratic_scene(METHODS["darts"], net, sgd)
    a, w = next(iter(context.policy.parameters())).detach().clone(), net.w.detach().clone()
    found = arch_gradient(context, **options)
    ahead = w - xi * (net.h @ w + net.b @ a)
    torch.testing.assert_close(found, 2 * a - xi * net.b.T @ (ahead - net.c), rtol=1e-6, atol=1e-9)


def train_gradients(context: StepContext) -> list[Tensor | None]:
    x, y = context.train()
    loss = F.cross_entropy(context.supernet(x, context.policy.soft_mix()), y)
    return list(torch.autograd.grad(loss, list(context.supernet.parameters()), allow_unused=True))


@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("nesterov", [False, True])
def test_the_virtual_step_is_the_step_that_the_optimiser_would_make(
    nesterov: bool, clip: float | None
) -> None:
    context = smooth_scene(METHODS["darts"], replace(SGD, nesterov=nesterov, clip=clip))
    gradients = train_gradients(context)
    values, _ = context.weights.ahead(context.lr, gradients)
    for p, g in zip(context.weights.parameters, gradients, strict=True):
        p.grad = g
    context.weights.step(context.lr)
    for p, v in zip(context.weights.parameters, values, strict=True):
        torch.testing.assert_close(p.detach(), v, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("options", [{"r": 0.01}, {"r": 0.3, "one_sided": True}, {"exact": True}])
def test_the_virtual_step_leaves_the_weights_bit_identical(options: dict[str, Any]) -> None:
    context = smooth_scene(METHODS["darts"])
    before = {k: v.clone() for k, v in context.supernet.state_dict().items()}
    buffers = [s["momentum_buffer"].clone() for s in context.weights.sgd.state.values()]
    seen: list[Tensor] = []
    context.supernet.register_forward_hook(
        lambda net, *_: seen.append(torch.cat([p.detach().flatten().clone() for p in net.parameters()]))
    )
    arch_gradient(context, **options)
    assert all(torch.equal(before[k], v) for k, v in context.supernet.state_dict().items())
    states = context.weights.sgd.state.values()
    assert all(torch.equal(a, s["momentum_buffer"]) for a, s in zip(buffers, states, strict=True))
    assert all(p.grad is None for p in context.supernet.parameters())
    assert not torch.equal(seen[0], seen[1])  # the validation pass saw other weights


def test_with_reuse_the_virtual_step_is_the_weight_step() -> None:
    plain, reused = smooth_scene(METHODS["darts"]), smooth_scene(METHODS["darts"])
    METHODS["darts"].make_hypergradient(plain.supernet, plain.policy, torch.Generator()).weight_step(plain)
    plain.weights.step(plain.lr)
    made = METHODS["darts-2-reuse"].make_hypergradient(reused.supernet, reused.policy, torch.Generator())
    assert made.arch_step(reused).weight is not None
    for a, b in zip(plain.supernet.parameters(), reused.supernet.parameters(), strict=True):
        assert torch.equal(a, b)


def test_weights_come_back_when_a_pass_fails() -> None:
    context = smooth_scene(METHODS["darts"])
    before = {k: v.clone() for k, v in context.supernet.state_dict().items()}
    x, y = context.val()
    bad = replace(context, val=lambda: (x * float("nan"), y))
    with pytest.raises(DivergedError, match="test: the loss is nan"):
        arch_gradient(bad, r=0.01)
    assert all(torch.equal(before[k], v) for k, v in context.supernet.state_dict().items())


def test_options_that_exclude_each_other_are_refused() -> None:
    context = smooth_scene(METHODS["darts"])
    with pytest.raises(UsageError, match="takes no finite difference"):
        arch_gradient(context, exact=True, reuse=True)
    with pytest.raises(UsageError, match="must be above 0"):
        arch_gradient(context, r=0.0)


def test_weights_that_got_no_gradient_stay() -> None:
    p = nn.Parameter(torch.ones(2))
    q = nn.Parameter(torch.ones(2))
    optimizer = WeightOptimizer([p, q], SGD, 10)
    values, slope = optimizer.ahead(optimizer.lr_at(0), [torch.ones(2), None])
    assert values[1].tolist() == [1.0, 1.0]
    assert values[0].tolist() == pytest.approx([1 - 0.1 * 1.01] * 2)
    assert slope == pytest.approx(0.1)


def test_a_network_that_cannot_be_differentiated_twice_is_one_clear_error() -> None:
    class Gated(ToySupernet):
        def option(self, x: Tensor, choice: int, k: int) -> Tensor:
            return super().option(F.hardsigmoid(x), choice, k)

    context = replace(smooth_scene(METHODS["darts"]), supernet=(net := Gated().double()))
    context = replace(context, weights=WeightOptimizer(net.parameters(), SGD, 10))
    with pytest.raises(UsageError, match=r"test: torch cannot differentiate .* twice .*such as darts-2"):
        arch_gradient(context, exact=True)
