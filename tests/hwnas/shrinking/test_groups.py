"""Groups of channels, against hand counts of known networks and against the network with zeros in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hwnas.networks.modes import evaluating
from hwnas.networks.resized import resized
from hwnas.shrinking.prune import changed_shapes, check_groups, narrowed, pruned, zeroed
from hwnas.shrinking.trace import trace
from hwnas.training.build import build_network
from hwnas.training.known import build_known
from targets.errors import DamagedFileError, UsageError

SHAPE = (3, 16, 16)


class Mixed(nn.Module):
    """A residual block with a depthwise convolution and squeeze-excite, a concatenation, a flattened end."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU6())
        self.expand = nn.Sequential(nn.Conv2d(12, 24, 1, bias=False), nn.BatchNorm2d(24), nn.Hardswish())
        self.depthwise = nn.Sequential(nn.Conv2d(24, 24, 3, 1, 1, groups=24), nn.BatchNorm2d(24), nn.SiLU())
        self.reduce, self.back = nn.Conv2d(24, 6, 1), nn.Conv2d(6, 24, 1)
        self.project = nn.Sequential(nn.Conv2d(24, 12, 1, bias=False), nn.BatchNorm2d(12))
        self.side = nn.Conv2d(12, 8, 3, 1, 1)
        self.last = nn.Conv2d(20, 10, 1)
        self.classifier = nn.Linear(10 * 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.depthwise(self.expand(x))
        gate = F.hardsigmoid(self.back(F.relu(self.reduce(y.mean((2, 3), keepdim=True)))))
        x = x + self.project(y * gate)
        x = torch.cat([x, F.elu(self.side(x))], 1)
        x = F.adaptive_avg_pool2d(F.max_pool2d(self.last(x), 2), 2)
        logits: Tensor = self.classifier(x.flatten(1))
        return logits


class WrittenDown(nn.Module):
    """Its code holds a number of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.end = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 6, 3), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x).view(-1, 8, 14, 14))
        logits: Tensor = self.end(x.mean((2, 3)))
        return logits


def with_statistics(module: nn.Module) -> nn.Module:
    """Norms that shift and scale, as after a training."""
    generator = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            mean, variance = part.running_mean, part.running_var
            assert mean is not None and variance is not None
            for tensor in (part.weight.data, variance):
                tensor.copy_(torch.rand(len(tensor), generator=generator) + 0.5)
            for tensor in (part.bias.data, mean):
                tensor.copy_(torch.randn(len(tensor), generator=generator) * 0.2)
    return module.eval()


def assert_equal_to_the_masked(module: nn.Module, shape: Sequence[int]) -> None:
    """The narrower network answers as the whole one with zeros in the channels that went."""
    groups, failed = check_groups(module, trace(module, shape).groups, shape)
    assert failed == []
    rng = np.random.default_rng(1)
    gone = {g.name: np.sort(rng.choice(g.size, g.size // 3, replace=False)) for g in groups}
    narrow, images = pruned(module, groups, gone), torch.randn(3, *shape)
    with evaluating(module), evaluating(narrow):
        whole = module(images)
        masked = torch.func.functional_call(module, zeroed(module.state_dict(), groups, gone), (images,))
        np.testing.assert_allclose(narrow(images), masked, atol=1e-5, rtol=1e-5)
        assert not torch.allclose(whole, masked, atol=1e-3)
    n = [sum(p.numel() for p in m.parameters()) for m in (module, narrow)]
    assert n[1] < n[0]


def test_a_narrower_network_is_the_masked_one() -> None:
    assert_equal_to_the_masked(with_statistics(Mixed()), SHAPE)


def test_the_groups_are_those_that_one_sees() -> None:
    sizes = {group.name: group.size for group in trace(Mixed().eval(), SHAPE).groups}
    # The stem and what is added to it; the expansion with its depthwise convolution and its gate; the
    # squeeze; the branch; the last layer, whose channels are four columns of the classifier each.
    assert sizes == {"stem.0": 12, "expand.0": 24, "reduce": 6, "side": 8, "last": 10}


# By hand. MobileNetV2: the stem, 16 expansions (the first block has none), 7 stages, the last layer.
# MobileNetV3-small: the stem, 10 expansions, 9 squeezes, the outputs of 5 stages, the last layer, the hidden
# layer of the classifier. ResNet-18: the first convolution of 8 blocks, 4 stages (the stem is in the first).
KNOWN = [("mobilenet_v2", 25), ("mobilenet_v3_small", 27), ("resnet18", 12)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "n_groups"), KNOWN)
def test_networks_of_torchvision(name: str, n_groups: int) -> None:
    module = with_statistics(build_known(f"torchvision:{name}", 10))
    assert len(trace(module, (3, 32, 32)).groups) == n_groups
    assert_equal_to_the_masked(module, (3, 32, 32))


def test_a_narrower_network_is_built_from_its_description() -> None:
    spec = {"model": "torchvision:squeezenet1_1", "n_classes": 4, "in_channels": 3}
    module = build_network(spec)
    shapes = {"features.3.squeeze.weight": [9, 64, 1, 1], "features.3.squeeze.bias": [9]}
    shapes |= {f"features.3.expand{k}x{k}.weight": [64, 9, k, k] for k in (1, 3)}
    narrow = build_network({"shrunk": spec, "shapes": shapes})
    assert changed_shapes(module.state_dict(), narrow.state_dict()) == shapes
    squeeze = narrow.get_submodule("features.3.squeeze")
    assert isinstance(squeeze, nn.Conv2d)
    assert (squeeze.out_channels, squeeze.in_channels) == (9, 64)
    assert narrow.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 4)


@pytest.mark.parametrize("shapes", [{"none.weight": [1]}, {"stem.0.weight": [4]}])
def test_a_description_of_another_network_is_refused(shapes: dict[str, list[int]]) -> None:
    with pytest.raises(DamagedFileError, match="this one has not"):
        resized(Mixed(), shapes)


def test_channels_that_the_code_writes_down_stay() -> None:
    module = WrittenDown().eval()
    groups, failed = check_groups(module, trace(module, SHAPE).groups, SHAPE)
    assert ([group.name for group in groups], failed) == (["second"], ["first"])


class Sorted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        values: Tensor = x.sort(1).values
        return values


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y if bool(x.sum() > 0) else -y


@pytest.mark.parametrize(
    ("build", "message"), [(Sorted, "no channels .* can be removed: sort"), (Branching, "cannot be traced")]
)
def test_networks_that_cannot_be_shrunk(build: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        trace(build().eval(), SHAPE)


def test_what_is_not_known_keeps_its_channels() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.Conv2d(8, 6, 3), nn.Conv2d(6, 2, 1))
    traced = trace(module.eval(), SHAPE)
    assert [group.name for group in traced.groups] == ["2"] and traced.unknown == {"group_norm": 1}


def test_narrowing_leaves_the_state_as_it_was() -> None:
    module = Mixed().eval()
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    narrowed(module.state_dict(), trace(module, SHAPE).groups, {"last": np.array([0, 3])})
    zeroed(module.state_dict(), trace(module, SHAPE).groups, {"last": np.array([0, 3])})
    assert all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items())
