"""MobileNetV3-small: shapes and strides, the choice of widths, networks from JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from hwnas.networks.flops import counter_macs
from hwnas.training.build import build_network
from hwnas.training.mobilenet import MOST_LR, mobilenet_v3_small, suited_recipe, widths_within
from hwnas.training.recipe import Recipe
from targets.errors import UsageError


@pytest.mark.parametrize(("image_size", "last_map"), [(16, 4), (32, 4), (64, 4), (96, 6), (128, 4), (224, 7)])
def test_the_last_map_is_4_to_7_pixels_wide(image_size: int, last_map: int) -> None:
    module = mobilenet_v3_small(0.25, image_size, 1, 7).eval()
    seen: list[torch.Size] = []
    pool = next(m for m in module.children() if isinstance(m, nn.AdaptiveAvgPool2d))
    pool.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].shape))
    with torch.no_grad():
        assert module(torch.zeros(2, 1, image_size, image_size)).shape == (2, 7)
    assert seen[0][2:] == (last_map, last_map)


def test_at_224_px_it_is_the_network_of_the_paper() -> None:
    # Howard et al. 2019, table 3 (MobileNetV3-small 1.0): 56 M MACs, 2.5 M parameters.
    module = mobilenet_v3_small(1.0, 224, 3, 1000)
    assert counter_macs(module, (3, 224, 224)) == pytest.approx(56e6, rel=0.02)
    assert sum(p.numel() for p in module.parameters()) == pytest.approx(2.5e6, rel=0.02)


@pytest.mark.parametrize("width", [float("nan"), 0.0, -1.0, 100.0])
def test_a_width_outside_its_range_is_refused(width: float) -> None:
    with pytest.raises(UsageError, match="width"):
        mobilenet_v3_small(width, 32, 3, 10)


def test_networks_are_built_from_json() -> None:
    scale = {"image_size": 32, "in_channels": 1, "n_classes": 4}
    arch = "8:mb3e3/8:mb3e3/16:mb3e3/16:mb3e3/24:mb3e3"
    specs: list[dict[str, Any]] = [
        {"baseline": "mobilenet_v3_small", "width": 0.5, **scale},
        {"space": {"name": "mobile", "width_mult": 0.25, **{**scale, "image_size": 16}}, "arch": arch},
    ]
    for spec in specs:
        size = 32 if "baseline" in spec else 16
        with torch.no_grad():
            assert build_network(spec).eval()(torch.zeros(1, 1, size, size)).shape == (1, 4)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "none of the keys 'space', 'baseline'"),
        ({"baseline": "mobilenet_v2"}, "did you mean 'mobilenet_v3_small'"),
        ({"baseline": "mobilenet_v3_small", "depth": 3}, "depth"),
        ({"space": {"name": "mobile"}}, "arch"),
    ],
)
def test_a_spec_that_describes_nothing_is_refused(spec: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        build_network(spec)


def _square_ms(widths: Sequence[float]) -> list[float]:
    return [width**2 for width in widths]


def test_widths_spread_over_the_budget() -> None:
    grid = (0.25, 0.5, 0.7, 1.0, 2.0, 4.0)
    # inside 4 ms: 0.0625, 0.25, 0.49, 1, 4 ms; evenly spread in log latency: 4, 0.5, 0.0625
    assert widths_within(_square_ms, 4.0, 3, grid=grid) == [0.25, 0.7, 2.0]
    assert widths_within(_square_ms, 4.0, 1, grid=grid) == [2.0]
    assert widths_within(_square_ms, 0.3, 3, grid=grid) == [0.25, 0.5]
    assert widths_within(_square_ms, 0.01, 3, grid=grid) == []


def test_widths_that_are_one_network_are_measured_once() -> None:
    measured: list[float] = []

    def latency_ms(widths: Sequence[float]) -> list[float]:
        measured.extend(widths)
        return _square_ms(widths)

    assert widths_within(latency_ms, 9.0, 5, grid=(1.1, 1.0, 2.0), distinct=int) == [1.0, 2.0]
    assert measured == [1.0, 2.0]


def test_it_trains_at_a_rate_that_it_bears_and_nothing_else_changes() -> None:
    recipe = Recipe(epochs=3, batch_size=64, lr=0.5)
    baseline = {"baseline": "mobilenet_v3_small", "width": 0.5}
    assert suited_recipe(baseline, recipe) == replace(recipe, lr=MOST_LR)
    assert suited_recipe(baseline, replace(recipe, lr=0.05)).lr == 0.05
    assert suited_recipe({"space": {}, "arch": "a"}, recipe) == recipe
