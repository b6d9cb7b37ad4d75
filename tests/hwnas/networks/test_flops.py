"""Two counters against a calculation by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hwnas.networks.flops import counter_macs, ptflops_complexity
from targets.errors import UsageError


@pytest.fixture
def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.Hardswish(),
        nn.Conv2d(8, 8, 5, padding=2, groups=8, bias=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 10, bias=False),
    )


# 32 x 32 images: 3*3*3*8 per pixel on 16 x 16, then depthwise 5*5*8 on 16 x 16, then 8*10.
MACS = 16 * 16 * (216 + 200) + 80
# The two convolutions, scale and shift of the norm, the linear layer.
PARAMS = 216 + 200 + 2 * 8 + 80


@pytest.mark.slow
def test_both_counters_agree_with_the_calculation_by_hand(network: nn.Module) -> None:
    assert counter_macs(network, (3, 32, 32)) == MACS
    assert ptflops_complexity(network, (3, 32, 32)) == (MACS, PARAMS)


def n_hooks(network: nn.Module) -> list[dict[str, int]]:
    """How many hooks of each kind every module has."""
    return [{k: len(v) for k, v in vars(m).items() if k.endswith("hooks")} for m in network.modules()]


def test_the_module_stays_as_it_was(network: nn.Module) -> None:
    network.train()
    network.get_submodule("1").eval()
    before, hooks = [m.training for m in network.modules()], n_hooks(network)
    ptflops_complexity(network, (3, 32, 32))
    counter_macs(network, (3, 32, 32))
    assert [m.training for m in network.modules()] == before
    assert n_hooks(network) == hooks
    assert all(p.device == torch.device("cpu") for p in network.parameters())


def test_a_failure_inside_ptflops_is_an_error_and_prints_nothing(
    network: nn.Module, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match=r"ptflops cannot count Sequential .*channel"):
        ptflops_complexity(network, (4, 32, 32))
    assert capsys.readouterr() == ("", "")
