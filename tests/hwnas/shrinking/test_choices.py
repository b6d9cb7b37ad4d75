"""Importance against finite differences; knapsack and choice of widths against brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from hwnas.shrinking.choose import Choices, choose, default_budget_ms
from hwnas.shrinking.coupling import ChannelGroup
from hwnas.shrinking.importance import importance, least_important
from hwnas.shrinking.knapsack import knapsack
from hwnas.shrinking.latency import LatencyModel, kernel_times
from lut.predictor.latency_predictor import Layer, Prediction
from targets.errors import InfeasibleError


def test_importance_is_the_squared_slope_of_a_gate() -> None:
    torch.manual_seed(0)
    gates = torch.ones(4, dtype=torch.double)

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(2, 4, 3).double(), nn.Linear(4, 3).double()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.second(torch.relu(self.first(x)).mean((2, 3)) * gates)
            return logits

    module, each = Gated(), np.arange(4)[:, None]
    group = ChannelGroup("first", {("first.weight", 0): each, ("second.weight", 1): each})
    batches = [(torch.randn(5, 2, 6, 6, dtype=torch.double), torch.arange(5) % 3) for _ in range(3)]
    loss = nn.functional.cross_entropy
    scores = importance(module, [group], batches, loss)[group.name]
    expected = np.zeros(4)
    for x, y in batches:
        for channel in range(4):
            values = []
            for step in (1e-5, -1e-5):
                gates[channel] = 1 + step
                values.append(float(loss(module(x), y).detach()))
            gates[channel] = 1
            expected[channel] += ((values[0] - values[1]) / 2e-5) ** 2 / len(batches)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    assert least_important(np.array([3.0, 1.0, 2.0, 1.0]), 2).tolist() == [1, 3]


def brute_force(losses: list[list[float]], costs: list[list[float]], budget: float) -> float | None:
    sums = [
        sum(row[i] for row, i in zip(losses, choice, strict=True))
        for choice in itertools.product(*(range(len(row)) for row in losses))
        if sum(row[i] for row, i in zip(costs, choice, strict=True)) <= budget
    ]
    return min(sums, default=None)


@pytest.mark.parametrize("seed", range(20))
def test_the_knapsack_is_the_best_of_all_choices(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Whole numbers, which the steps of the knapsack hold exactly; savings are negative costs.
    costs = [rng.integers(-20, 20, 4).astype(float).tolist() for _ in range(5)]
    losses = [rng.exponential(1, 4).tolist() for _ in range(5)]
    for budget in (-90.0, -40.0, 0.0, 30.0):
        least = sum(map(min, costs))
        answer = knapsack(losses, costs, budget, steps=int(max(1, budget - least)))
        best = brute_force(losses, costs, budget)
        if best is None:
            assert answer is None
            continue
        assert answer is not None
        assert sum(row[i] for row, i in zip(costs, answer, strict=True)) <= budget + 1e-9
        assert sum(row[i] for row, i in zip(losses, answer, strict=True)) == pytest.approx(best)


def problem(seed: int) -> tuple[dict[str, Choices], LatencyModel]:
    """Four groups in a chain: each kernel takes as long as the product of the widths beside it."""
    rng = np.random.default_rng(seed)
    groups = {
        f"g{i}": Choices(widths=[4, 3, 2, 1], losses=np.cumsum([0, *rng.exponential(1, 3)]).tolist())
        for i in range(4)
    }
    whole = {f"k{i}": float(rng.uniform(0.5, 2)) for i in range(5)} | {"": 0.3}

    def narrower(group: int, width: int) -> dict[str, float]:
        beside = (f"k{group}", f"k{group + 1}")
        return {name: ms * width / 4 if name in beside else ms for name, ms in whole.items()}

    return groups, LatencyModel.of(
        whole, {f"g{i}": {w: narrower(i, w) for w in (3, 2, 1)} for i in range(4)}, scale=2.0
    )


@pytest.mark.parametrize("seed", range(6))
def test_the_chosen_widths_are_the_best_of_all(seed: int) -> None:
    groups, latency = problem(seed)
    for share in (0.4, 0.6, 0.8):
        budget_ms = share * latency.latency_ms({})
        best = min(
            sum(c.losses[i] for c, i in zip(groups.values(), choice, strict=True))
            for choice in itertools.product(range(4), repeat=4)
            if latency.latency_ms({f"g{g}": 4 - i for g, i in enumerate(choice)}) <= budget_ms
        )
        chosen = choose(groups, latency, budget_ms)
        assert chosen.latency_ms <= budget_ms
        assert chosen.added_loss == pytest.approx(best)


def test_a_budget_that_nothing_meets_and_one_that_all_meet() -> None:
    groups, latency = problem(0)
    with pytest.raises(InfeasibleError, match="the narrowest takes"):
        choose(groups, latency, 0.1)
    assert set(choose(groups, latency, 1e3).widths.values()) == {4}


def test_the_default_budget_can_be_met() -> None:
    groups = {"x": Choices(widths=[2, 1], losses=[0.0, 1.0])}
    for overhead, expected in ((0.0, 2.0), (3.0, 5.5)):  # of 4 ms the narrowest takes 1; of 7 ms 4
        latency = LatencyModel.of({"a": 4.0, "": overhead}, {"x": {1: {"a": 1.0, "": overhead}}})
        assert default_budget_ms(groups, latency) == pytest.approx(expected)


def test_latencies_multiply_along_a_chain() -> None:
    whole = {"a": 4.0, "b": 2.0, "": 1.0}
    narrower = {"x": {1: {"a": 2.0, "b": 2.0, "": 1.0}}, "y": {1: {"a": 1.0, "b": 1.0, "new": 0.5, "": 1.0}}}
    latency = LatencyModel.of(whole, narrower)
    # a: 4 x 1/2 x 1/4; b: 2 x 1/2; the rest with the kernel of another name: 1.5.
    assert latency.latency_ms({"x": 1, "y": 1}) == pytest.approx(0.5 + 1.0 + 1.5)
    assert latency.alone_ms("x", [2, 1], {"y": 1}) == pytest.approx([1 + 1 + 1.5, 0.5 + 1 + 1.5])


def test_measurements_of_both_ends_are_met() -> None:
    latency = LatencyModel.of({"a": 4.0, "": 1.0}, {"x": {1: {"a": 1.0, "": 1.0}}})
    # Predicted are 5 and 2 ms. On the device kernels take twice as long, and what is beside them 3 ms less.
    met = latency.through({"x": 1}, 7.0, 1.0)
    assert [met.latency_ms({}), met.latency_ms({"x": 1})] == pytest.approx([7.0, 1.0])
    assert met.alone_ms("x", [2, 1], {}) == pytest.approx([7.0, 1.0])
    # A narrowest network that measures slower says nothing; the whole one is met alone.
    assert latency.through({"x": 1}, 10.0, 11.0).latency_ms({"x": 1}) == pytest.approx(4.0)
    assert met.corrected({"x": 1}, 1.5).latency_ms({}) == pytest.approx(10.5)


def test_kernels_of_one_name_are_taken_together() -> None:
    layers = tuple(
        Layer(name=name, op="Conv", kind="conv", macs=1, latency_ms=ms, source="known")
        for name, ms in (("a", 1.0), ("b", 2.0), ("a", 3.0), ("", 4.0))
    )
    prediction = Prediction(
        latency_ms=10.5, low_ms=9, high_ms=12, layers=layers, overhead_ms=0.5, unknown={}, few={},
        kernels_from="target", file_bytes=1, peak_memory_bytes=None,
    )  # fmt: skip
    assert kernel_times(prediction) == {"": 8.5, "b": 2.0}
