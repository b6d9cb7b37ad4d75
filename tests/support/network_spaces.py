"""The contract of a space whose supernet no wrapper fits: costs, shared weights and names of its networks."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hwnas import supernets
from hwnas.core.mix import Mix
from hwnas.core.network_space import NetworkSpace, Scale
from hwnas.costs.cost_model import CostModel
from hwnas.networks.flops import counter_macs
from hwnas.networks.wrappers import Partial
from hwnas.spaces import load_space
from targets.errors import UsageError


def check_costs(space: NetworkSpace, image_size: int, seed: int) -> None:
    """What an architecture drawn by `seed` costs is what its network of colour images has."""
    arch = space.sample(np.random.default_rng(seed))
    net = space.build(arch)
    costs = CostModel(space)
    exact = costs.of([arch])
    assert exact["macs"][0] == counter_macs(net, (3, image_size, image_size))
    assert exact["params"][0] == sum(p.numel() for p in net.parameters())
    one_hot = costs.expected(Mix.one_hot(space.choices, arch))
    for metric in costs.metrics:
        assert float(one_hot[metric]) == pytest.approx(exact[metric][0], rel=1e-5)


class NetworkSpaceContract:
    """Inherit it, and give `space`, of images of 16 px, and the scale `search` of its supernet."""

    space: ClassVar[NetworkSpace]
    search: ClassVar[Scale]

    @pytest.mark.parametrize("seed", range(3))
    def test_costs_are_those_of_the_built_network(self, seed: int) -> None:
        """MACs and parameters as counted, and of a one-hot mix all costs."""
        check_costs(self.space, 16, seed)

    @pytest.mark.parametrize("seed", range(4))
    def test_restricted_to_an_architecture_the_supernet_is_the_built_network(self, seed: int) -> None:
        """Logits agree to 1e-5."""
        torch.manual_seed(0)
        net = supernets.make(self.space, self.search)
        x = torch.randn(4, 3, 16, 16)
        arch = self.space.sample(np.random.default_rng(seed))
        with torch.no_grad():
            ours, built = net(x, Mix.one_hot(self.space.choices, arch)), net.extract(arch).train()(x)
        assert float((ours - built).abs().max()) < 1e-5

    def test_every_weight_learns_from_a_mix_of_everything(self) -> None:
        """No parameter is without a gradient."""
        torch.manual_seed(0)
        net = supernets.make(self.space, self.search)
        sizes = [len(c.options) for c in self.space.choices]
        mix = Mix(
            tuple(torch.full((n,), 1 / n) for n in sizes),
            tuple(tuple(range(n)) for n in sizes),
            tuple(() for _ in sizes),
        )
        F.cross_entropy(net(torch.randn(4, 3, 16, 16), mix), torch.arange(4)).backward()
        assert [n for n, p in net.named_parameters() if p.grad is None] == []

    def test_strings_and_specs_come_back(self) -> None:
        """An architecture by its string, the space by its spec."""
        space = self.space
        arch = space.sample(np.random.default_rng(1))
        assert space.from_string(space.to_string(arch)) == arch
        assert load_space(**space.spec()).space_id == space.space_id
        assert CostModel(space).minimum("macs")[0] > 0
        assert len(space.describe(arch)) == len(space.block_keys(arch))

    def test_wrappers_and_widths_are_refused(self) -> None:
        """Neither means anything here."""
        with pytest.raises(UsageError, match="no edges that Partial could wrap"):
            supernets.make(self.space, self.search, Partial(2))
        with pytest.raises(UsageError, match="no width multiplier"):
            load_space(self.space.name, image_size=32, in_channels=3, n_classes=10, width_mult=1.0)
