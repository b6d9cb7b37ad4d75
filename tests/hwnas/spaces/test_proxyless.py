"""The space `proxyless`: the network that the paper found costs what the paper says."""

from pathlib import Path

import numpy as np
import pytest
import torch

import hwnas.spaces
from hwnas import supernets
from hwnas.core.mix import Mix
from hwnas.costs.cost_model import CostModel
from hwnas.networks.flops import counter_macs
from hwnas.spaces import load_space
from targets.errors import UsageError

SPACE = load_space("proxyless", image_size=32, in_channels=3, n_classes=10)
FOUND = (
    "16:mb3e1/32:mb5e3:mb3e3:skip:skip/40:mb7e3:mb3e3:mb5e3:mb5e3/80:mb7e6:mb5e3:mb5e3:mb5e3/"
    "96:mb5e6:mb5e3:mb5e3:mb5e3/192:mb7e6:mb7e6:mb7e3:mb7e3/320:mb7e6"
)


def test_the_network_of_the_paper_has_its_published_cost(tmp_path: Path) -> None:
    """ProxylessNAS (mobile): 320 M MACs, 4.1 M parameters; its first stage is 32 wide."""
    text = (Path(hwnas.spaces.__file__).parent / "proxyless.toml").read_text()
    path = tmp_path / "found.toml"
    path.write_text(text.replace("widths = [24]", "widths = [32]"))
    space = load_space(str(path), image_size=224, in_channels=3, n_classes=1000)
    costs = CostModel(space).of([space.from_string(FOUND)])
    assert costs["macs"][0] / 1e6 == pytest.approx(320, abs=1)
    assert costs["params"][0] / 1e6 == pytest.approx(4.08, abs=0.01)


def test_21_blocks_are_searched() -> None:
    """Six operations each, and zero where the shapes allow it: in all but the first block of a stage."""
    space = load_space("proxyless", image_size=224, in_channels=3, n_classes=1000)
    searched = [c for c in space.choices if len(c.options) > 1]
    assert len(searched) == 21
    assert sorted(len(c.options) for c in searched) == [6] * 6 + [7] * 15


def test_costs_and_supernet_are_those_of_the_built_network() -> None:
    torch.manual_seed(0)
    net = supernets.make(SPACE)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.05 * torch.randn(p.shape))
    x = torch.randn(4, 3, 32, 32).to(memory_format=torch.channels_last)
    for seed in range(3):
        arch = SPACE.sample(np.random.default_rng(seed))
        built = net.extract(arch).train()
        with torch.no_grad():
            assert float((net(x, Mix.one_hot(SPACE.choices, arch)) - built(x)).abs().max()) < 1e-5
        costs = CostModel(SPACE).of([arch])
        assert costs["macs"][0] == counter_macs(built, (3, 32, 32))
        assert costs["params"][0] == sum(p.numel() for p in built.parameters())


@pytest.mark.slow
def test_every_weight_learns_from_some_architecture() -> None:
    net, rng = supernets.make(SPACE), np.random.default_rng(0)
    x = torch.randn(2, 3, 32, 32)
    for _ in range(30):
        net(x, Mix.one_hot(SPACE.choices, SPACE.sample(rng))).square().mean().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []


def test_the_spec_makes_the_same_space_again() -> None:
    again = load_space(**SPACE.spec())
    assert again.space_id == SPACE.space_id and again.space_id.startswith("proxyless-")


def test_faulty_operations_of_a_stage_name_the_place(tmp_path: Path) -> None:
    text = (Path(hwnas.spaces.__file__).parent / "proxyless.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('["mb3e1"]', '["mb3e1", "skip"]'))
    with pytest.raises(UsageError, match=r"stages\[1\]: operations: 'skip' is added automatically"):
        load_space(str(path), image_size=32, in_channels=3, n_classes=10)
