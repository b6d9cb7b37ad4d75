"""The proxies against closed forms and numpy; what they must not do to a network."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from hwnas.evaluators.proxies import PROXIES, ProxyInputs, ProxyScores, log_synflow, naswot, zico
from hwnas.spaces import load_space
from hwnas.tasks import CLASSIFICATION
from targets.errors import UsageError


def linear(weights: list[list[float]]) -> nn.Linear:
    layer = nn.Linear(len(weights[0]), len(weights), bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights))
    return layer


def test_naswot_by_hand() -> None:
    # Pre-activations (2, -1), (-1, 2), (1, 1): signs 10, 01, 11. Equal signs: 0, 1, 1 of 2 units.
    images = torch.tensor([[2.0, -1.0], [-1.0, 2.0], [1.0, 1.0]])
    net = nn.Sequential(linear([[1.0, 0.0], [0.0, 1.0]]), nn.ReLU())
    kernel = np.array([[2.0, 0.0, 1.0], [0.0, 2.0, 1.0], [1.0, 1.0, 2.0]])
    assert naswot(net, images) == pytest.approx(math.log(np.linalg.det(kernel)))  # log 4
    nested = nn.Sequential(nn.Sequential(nn.Sequential(net[0]), net[1]))
    assert naswot(nested, images) == naswot(net, images)
    smooth = nn.Sequential(net[0], nn.Hardswish())
    assert naswot(smooth, images) == naswot(net, images)  # the input of any activation counts
    assert naswot(net, images[[0, 0]]) == -math.inf


def test_synflow_of_linear_layers_is_the_flow_once_per_layer() -> None:
    # R = 1' |A2| |A1| 1, and Σ |w ∂R/∂w| = R in each layer: Tanaka et al. 2020, their conservation law.
    first, second = [[1.0, -2.0], [3.0, 0.5]], [[-1.0, 2.0]]
    flow = float(np.abs(second).dot(np.abs(first)).dot(np.ones(2))[0])
    net = nn.Sequential(nn.Flatten(), linear(first), nn.ReLU(), linear(second))
    assert log_synflow(net, (1, 1, 2)) == pytest.approx(math.log(2 * flow))


def test_synflow_leaves_norms_out() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 1))
    bare = nn.Sequential(net[0], net[2], net[3])
    nn.init.constant_(net.get_parameter("1.weight"), 7.0)
    assert log_synflow(net, (1, 2, 2)) == pytest.approx(log_synflow(bare, (1, 2, 2)))


def test_zico_of_a_linear_layer_by_numpy() -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(3, 4))
    batches = [(rng.normal(size=(5, 4)), rng.integers(0, 3, 5)) for _ in range(4)]
    gradients = []
    for x, y in batches:
        logits = x @ weights.T
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        gradients.append((shares - np.eye(3)[y]).T @ x / len(x))
    stacked = np.array(gradients)
    expected = np.log((np.abs(stacked).mean(axis=0) / stacked.std(axis=0)).sum())
    net = linear(weights.tolist()).double()
    given = [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in batches]
    assert zico(net, given) == pytest.approx(expected, rel=1e-5)
    # A layer whose gradient is always 0 is left out; two batches are too few for a deviation.
    dead = nn.Sequential(net, nn.Identity())
    assert zico(dead, given) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(UsageError, match="at least 3 batches"):
        zico(net, given[:2])


def test_a_layer_without_gradient_is_left_out() -> None:
    class Dead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.used(x)
            return out

    torch.manual_seed(0)
    batches = [(torch.randn(5, 4), torch.randint(0, 3, (5,))) for _ in range(4)]
    net = Dead()
    assert zico(net, batches) == zico(net.used, batches)


def test_architectures_are_scored_once_alike_and_left_alone() -> None:
    space = load_space("mobile", image_size=16, in_channels=1, n_classes=4, width_mult=0.25)
    rng = np.random.default_rng(0)
    archs = [space.sample(rng) for _ in range(3)]
    generator = torch.Generator().manual_seed(0)
    images = torch.rand((6, 1, 16, 16), generator=generator)
    batches = [(torch.rand((4, 1, 16, 16), generator=generator), torch.arange(4)) for _ in range(3)]
    inputs = ProxyInputs(images=images, batches=batches, task=CLASSIFICATION)
    before = torch.get_rng_state()
    scored: list[int] = []
    scores = ProxyScores(space, inputs, seed=1)
    values = scores([*archs, archs[0]], lambda: scored.append(1))
    assert values.shape == (4, len(PROXIES)) and np.isfinite(values).all() and len(scored) == 3
    assert scores.names == tuple(PROXIES) and not scores.left_out
    assert (values[0] == values[3]).all()
    assert (ProxyScores(space, inputs, seed=1)(archs) == values[:3]).all()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_network_is_afterwards_as_it_was() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Hardswish(), nn.Flatten(), nn.Linear(12, 3))
    net.eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    images = torch.randn(4, 1, 4, 4)
    naswot(net, images)
    log_synflow(net, (1, 4, 4))
    zico(net, [(images, torch.arange(4) % 3)] * 3)
    assert not any(part.training for part in net.modules())
    assert all(p.grad is None and p.dtype == torch.float32 for p in net.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
