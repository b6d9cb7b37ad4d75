"""REINFORCE, decoders, callbacks, schedules and regularisers against hand calculation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from hwnas import supernets
from hwnas.core.budget import Budget
from hwnas.core.choice import Choice
from hwnas.core.mix import Mix
from hwnas.core.registry import bound, part
from hwnas.costs.cost_model import CostModel
from hwnas.gradient.method import TermSpec
from hwnas.gradient.methods import METHODS
from hwnas.gradient.parts.callbacks import FreezeOperations, largest_eigenvalue, operations_of
from hwnas.gradient.parts.controller import Controller
from hwnas.gradient.parts.objective import make_objective
from hwnas.gradient.parts.policy import LogitPolicy
from hwnas.gradient.parts.regularisers import REGULARISERS
from hwnas.gradient.parts.reinforce import Baseline, Reinforce
from hwnas.gradient.parts.relax import RELAXATIONS, dense
from hwnas.gradient.parts.schedules import SCHEDULES
from hwnas.gradient.parts.weight_rules import WEIGHT_RULES
from hwnas.gradient.stage import Stage
from hwnas.gradient.step.context import StepContext
from hwnas.gradient.step.optim import Rows, SGDSettings, WeightOptimizer
from hwnas.gradient.step.protocols import PolicyView, RelaxContext
from hwnas.gradient.timetable import Timetable
from hwnas.spaces import load_space
from targets.errors import UsageError
from tests.support.step_contexts import make_context
from tests.support.toy import ToyBatches, ToySupernet, all_archs, toy_costs, toy_space


def scene_of(name: str, budgets: tuple[Budget, ...] = (), n: int = 3) -> StepContext:
    method, space = METHODS[name], toy_space(n)
    policy = method.make_policy(space.choices, torch.Generator().manual_seed(0))
    x, y = ToyBatches(1).at(0)
    net = ToySupernet(n)
    return make_context(method, space, net, policy, toy_costs(space), lambda: (x, y), budgets=budgets)


def test_the_baseline_decays_as_named() -> None:
    """ProxylessNAS's line is b += 0.99 (x - b), which makes b the last batch's mean."""
    b = Baseline(0.99)
    for x in (1.0, 0.0, 0.0):
        b.update(x)
    assert b.value.item() == pytest.approx(0.99**2)


def test_reinforce_is_the_gradient_of_the_expected_reward() -> None:
    """d/da sum_a p(a) R(a) by enumeration of 9 architectures, against the mean of 3,000 samples."""
    context = scene_of("proxyless-rl", (Budget("latency_ms", 4.0),), n=2)
    space, policy = toy_space(2), context.policy
    x, y = context.val()
    rewards, log_probs = [], []
    logits = list(policy.parameters())
    for arch in all_archs(space):
        mix = Mix.one_hot(space.choices, arch)
        right = float((context.supernet(x, mix).argmax(1) == y).float().mean())
        view = PolicyView(drawn=mix, soft=mix, logits=(), choices=space.choices)
        rewards.append(-float(context.objective(torch.tensor(-right), view).total))
        log_probs.append(torch.stack([a.log_softmax(0)[i] for a, i in zip(logits, arch, strict=True)]).sum())
    expected = torch.autograd.grad(
        -sum(p.exp() * r for p, r in zip(log_probs, rewards, strict=True)),
        logits,
    )
    made = Reinforce(context.supernet, policy, torch.Generator(), samples=3000, decay=0.0)
    made.own.update(float(np.mean(rewards)))
    made.arch_step(context)
    for a, g in zip(policy.parameters(), expected, strict=True):
        assert a.grad is not None
        torch.testing.assert_close(a.grad, g, atol=0.03, rtol=0)


def test_reinforce_refuses_draws_without_a_probability() -> None:
    context = scene_of("darts")
    made = Reinforce(context.supernet, context.policy, torch.Generator())
    with pytest.raises(UsageError, match="REINFORCE needs draws with a probability; relax by 'sampled'"):
        made.arch_step(context)
    with pytest.raises(UsageError, match="unknown reward 'acuracy'; known: accuracy, loss"):
        Reinforce(context.supernet, context.policy, torch.Generator(), reward="acuracy")


def test_schedules_have_the_published_values() -> None:
    skip = bound(SCHEDULES, part("skip_dropout", p0=0.4))
    # 25 epochs, the first 10 frozen: epoch 5: 0.4 x 20/25; epoch 10: 0.4; epoch 15: 0.4 exp(-0.2 x 5)
    assert [skip(e / 25, 0.4) for e in (5, 10, 15)] == pytest.approx([0.32, 0.4, 0.4 * math.exp(-1)])
    assert SCHEDULES["linear"](0.25, 0.0, start=1.0, end=0.0) == 0.75


def test_a_timetable_shares_the_steps_freezes_and_begins_a_cosine_per_stretch() -> None:
    stages = (Stage("a", share=1.0, frozen=0.5), Stage("b"), Stage("c", share=2.0, start="fresh"))
    table = Timetable(stages, 40, 1)
    assert table.bounds == [0, 10, 20, 40]
    assert [table.due(s) for s in (0, 4, 5, 10)] == [False, False, True, True]
    assert [table.stretch(i) for i in range(3)] == [(0, 20), (0, 20), (20, 20)]
    assert table.arch_steps(0) == 15
    assert [table.progress(s) for s in (0, 39)] == [0.0, 1.0]


PAIR = (Choice("a", ("x", "y")), Choice("b", ("x", "y")))


def view_of(a: list[float], b: list[float]) -> PolicyView:
    weights = tuple(torch.tensor(w) for w in (a, b))
    return PolicyView(drawn=dense(weights), soft=dense(weights), logits=weights, choices=PAIR)


def test_regularisers_have_the_values_of_their_papers() -> None:
    view = view_of([0.8, 0.2], [0.4, 0.6])
    # hard is (1, 0) and (0, 1): mean of 0.04 and 0.16
    assert REGULARISERS["dal"](view).item() == pytest.approx(0.10)
    expected = (math.log(math.exp(0.8) + math.exp(0.2)) + math.log(math.exp(0.4) + math.exp(0.6))) / 2
    assert REGULARISERS["beta_decay"](view).item() == pytest.approx(expected)
    sigma = [1 / (1 + math.exp(-v)) for v in (0.8, 0.2, 0.4, 0.6)]
    assert REGULARISERS["zero_one"](view).item() == pytest.approx(-sum((s - 0.5) ** 2 for s in sigma) / 4)
    assert REGULARISERS["logit_norm"](view).item() == pytest.approx((0.64 + 0.04 + 0.16 + 0.36) / 2)


def test_a_regulariser_of_logits_says_so_to_a_policy_without() -> None:
    with pytest.raises(UsageError, match="'beta_decay' acts on logits, and this policy has none"):
        REGULARISERS["beta_decay"](replace(view_of([0.5, 0.5], [0.5, 0.5]), logits=()))


def test_the_largest_eigenvalue_is_that_of_the_whole_hessian() -> None:
    context = scene_of("darts")
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
    context = scene_of("darts")
    bound(WEIGHT_RULES, part("plain"))(context)
    callback.before_weights(context)
    assert set(callback.state["frozen"]) == {n for n, _ in context.supernet.named_parameters()}
    before = [p.detach().clone() for p in context.supernet.parameters()]
    context.weights.step(0)
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
    for step in range(2):
        bound(WEIGHT_RULES, part("plain"))(context)
        callback.before_weights(context)
        context.weights.step(step)
    moved = {n: not torch.equal(p, before[n]) for n, p in operations_at(operations).items()}
    assert [n for n, m in moved.items() if not m] == [first]
    assert set(callback.state["cosines"]) == set(operations) - {first}


def operations_at(operations: dict[str, list[Rows]]) -> dict[str, torch.Tensor]:
    return {name: parts[0][0].detach()[parts[0][1]] for name, parts in operations.items()}


def test_the_sandwich_trains_the_ends_and_draws_by_distillation() -> None:
    context = scene_of("proxyless")
    seen: list[tuple[int, ...] | None] = []
    context.supernet.register_forward_pre_hook(lambda net, args: seen.append(args[1].arch))
    assert bound(WEIGHT_RULES, part("sandwich", n=2))(context).loss > 0
    assert seen[:2] == [(1, 1, 1), (0, 0, 0)] and len(seen) == 4


SKIPS = (
    Choice("layer0.op", ("conv", "pool")),
    Choice("layer1.0", ("none", "skip_connect")),
    Choice("layer2.0", ("none", "skip_connect")),
    Choice("layer2.1", ("none", "skip_connect")),
)


def test_the_skip_target_is_a_kl_summed_per_layer_and_averaged_over_layers() -> None:
    """p = 0.7; 0.4 and 0.1, target 0.4: 0.7 ln(7/4) + 0.3 ln(1/2); 0, and 0.1 ln(1/4) + 0.9 ln(3/2)."""
    p = [torch.tensor([1 - on, on], requires_grad=True) for on in (0.5, 0.7, 0.4, 0.1)]
    drawn = Mix.one_hot(SKIPS, (0, 1, 0, 0))
    view = PolicyView(drawn=replace(drawn, draw_probs=tuple(p)), soft=drawn, logits=(), choices=SKIPS)
    found = REGULARISERS["skip_target"](view, target=0.4)
    assert float(found.detach()) == pytest.approx((0.183787 + 0.226289) / 2, abs=1e-5)
    found.backward()
    # d/dp = ln(p / 0.4) - ln((1 - p) / 0.6), halved by the mean over two layers; 0 at the target
    slope = p[1].grad
    assert slope is not None and float(slope[1] - slope[0]) == pytest.approx(
        (0.559616 + 0.693147) / 2, abs=1e-5
    )
    assert p[2].grad is not None and float((p[2].grad[1] - p[2].grad[0]).abs()) < 1e-6
    with pytest.raises(UsageError, match="target must be between 0 and 1, got 1"):
        REGULARISERS["skip_target"](view, target=1.0)


def test_a_controller_is_pulled_to_the_skip_target() -> None:
    """Nothing but the term is minimised: the share of skips goes from 1/2 to the target."""
    choices = tuple(
        c
        for n in range(4)
        for c in (
            Choice(f"layer{n}.op", ("a", "b")),
            *(Choice(f"layer{n}.{i}", ("none", "skip_connect")) for i in range(n)),
        )
    )
    policy = Controller(choices, torch.Generator().manual_seed(0), hidden=16, tanh=1.5, op_reduce=1.0)
    adam, relax_context = (
        torch.optim.Adam(policy.parameters(), lr=0.02),
        RelaxContext(choices, torch.Generator().manual_seed(1)),
    )

    def share() -> float:
        flags = [w[1] for w, c in zip(policy.soft_mix().probs, choices, strict=True) if "none" in c.options]
        return float(torch.stack(flags).mean())

    assert share() == pytest.approx(0.5, abs=0.1)
    for _ in range(60):
        drawn = policy.draw(RELAXATIONS["sampled"], relax_context)
        adam.zero_grad()
        REGULARISERS["skip_target"](
            PolicyView(drawn=drawn, soft=drawn, logits=(), choices=choices), target=0.2
        ).backward()
        adam.step()
    assert share() == pytest.approx(0.2, abs=0.08)  # 192 draws, sigma 0.03


def test_reinforce_hands_regularisers_to_the_policy_as_they_are() -> None:
    """With no reward to learn from (one sample equals its baseline) what is left is their gradient."""
    context = scene_of("proxyless-rl")
    row = replace(METHODS["proxyless-rl"], regularisers=(TermSpec(part("beta_decay"), (3.0, 3.0)),))
    context = replace(
        context, objective=make_objective(toy_costs(toy_space()), [], row.objective, row.make_regularisers())
    )
    made = Reinforce(context.supernet, context.policy, torch.Generator(), samples=1, decay=0.99)
    out = made.arch_step(context)
    for a in context.policy.parameters():
        assert a.grad is not None  # d logsumexp / da = softmax, mean over three choices
        torch.testing.assert_close(a.grad, 3.0 * a.detach().softmax(0) / 3)
    assert float(out.score.regularisers) == pytest.approx(3.0 * math.log(3), rel=1e-2)


def test_warm_restarts_double_their_cosines() -> None:
    """SGDR with T0 = 10 and a factor of 2: cycles of 10, 20 and 40 epochs, each from 0.05 to 0.0005."""
    settings = SGDSettings(lr=0.05, min_lr=0.0005, cycles=3)
    optimizer = WeightOptimizer([torch.nn.Parameter(torch.zeros(1))], settings, 70)
    for start in (0, 10, 30):
        assert optimizer.lr_at(start) == pytest.approx(0.05)
    for middle in (5, 20, 50):
        assert optimizer.lr_at(middle) == pytest.approx((0.05 + 0.0005) / 2)
    assert optimizer.lr_at(70) == pytest.approx(0.0005)
    assert optimizer.lr_at(29) < 0.001 < optimizer.lr_at(9) < 0.002
    with pytest.raises(UsageError, match="at least one cycle, got 0"):
        SGDSettings(lr=0.1, cycles=0)


def test_the_discretisation_loss_is_of_the_mean_mix_whatever_is_drawn() -> None:
    """In the published code MSE(softmax(alpha), hard), also where top-k or hard cells run."""
    view = view_of([0.8, 0.2], [0.4, 0.6])
    hard = Mix.one_hot(PAIR, (1, 0))
    found = float(REGULARISERS["dal"](replace(view, drawn=hard)))
    assert found == pytest.approx((0.04 + 0.16) / 2)
