"""On a real GPU: a recorded search is the search step by step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from hwnas.core.budget import Budget
from hwnas.costs.cost_model import CostModel
from hwnas.gradient.methods import METHODS
from hwnas.gradient.search import GradientSearch
from hwnas.gradient.settings import SearchSettings
from hwnas.gradient.stage_supernets import stage_supernets
from hwnas.spaces import load_space

from .test_graphs import GRAPHED

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here"),
]


class OnDevice:
    """Images of 16 px in 4 classes, on the device."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def at(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(1000 * self.seed + step)
        x = torch.randn(8, 3, 16, 16, generator=generator).contiguous(memory_format=torch.channels_last)
        return x.cuda(), torch.randint(4, (8,), generator=generator).cuda()


def search(name: str, *, graphs: bool, warnings: list[str]) -> GradientSearch:
    space: Any = load_space(
        "mobile" if name == "fbnet" else "darts", image_size=16, in_channels=3, n_classes=4
    )
    scale = space.search_scale
    if name != "fbnet":
        scale = replace(scale, cells=3, channels=12)
    costs = CostModel(space)
    limit = 0.5 * (costs.minimum("macs")[0] + costs.maximum("macs"))
    settings = SearchSettings(steps=12, epoch_steps=6, seed=1, arch_every=1, ranked=0, graphs=graphs)
    return GradientSearch(
        space, stage_supernets(space, scale), costs, (Budget("macs", limit),), METHODS[name], OnDevice(1),
        OnDevice(2), settings, device="cuda", warn=warnings.append,
    )  # fmt: skip


@pytest.mark.parametrize("name", GRAPHED)
def test_a_recorded_search_is_the_search_step_by_step(name: str) -> None:
    warnings: list[str] = []
    graphed, eager = (search(name, graphs=graphs, warnings=warnings) for graphs in (True, False))
    graphed.run()
    eager.run()
    assert warnings == []
    losses = [[row["train_loss"] for row in s.log] for s in (graphed, eager)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)  # atomics of cuDNN sum in any order
    for ours, theirs in zip(graphed.policy.parameters(), eager.policy.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-2)
