"""Trainings that begin with the shared weights of a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from hwnas import supernets
from hwnas.networks.modes import safetensors_bytes
from hwnas.pipeline.teachers import start_of
from hwnas.spaces import load_space
from hwnas.training.start import start_weights
from hwnas.training.train import begin
from targets.errors import DamagedFileError, UsageError

ARCH = "nor_conv_3x3:none:nor_conv_1x1:skip_connect:none:avg_pool_3x3"
SIZE: dict[str, Any] = {"image_size": 16, "in_channels": 1, "n_classes": 4, "cells": 1, "channels": 4}


@pytest.fixture
def start(tmp_path: Path) -> dict[str, str]:
    torch.manual_seed(0)
    supernet = supernets.make(load_space("nasbench201", **SIZE))
    (tmp_path / "supernet.safetensors").write_bytes(safetensors_bytes(supernet))
    return start_of(tmp_path / "supernet.safetensors")


def network(**changes: Any) -> dict[str, Any]:
    return {"space": {"name": "nasbench201", **SIZE, **changes}, "arch": ARCH}


def test_a_network_begins_with_its_part_of_the_shared_weights(start: dict[str, str]) -> None:
    space = load_space("nasbench201", **SIZE)
    torch.manual_seed(0)
    expected = supernets.make(space).extract(space.from_string(ARCH))
    module = space.build(space.from_string(ARCH))
    begin(module, 5, start_weights(start, network()))
    for name, weight in module.named_parameters():
        torch.testing.assert_close(weight, expected.get_parameter(name))


def test_shared_weights_of_another_space_are_refused(start: dict[str, str]) -> None:
    with pytest.raises(DamagedFileError, match="no shared weights of space nasbench201"):
        start_weights(start, network(channels=8))
    with pytest.raises(UsageError, match="no architecture"):
        start_weights(start, {"baseline": "mobilenet_v3_small"})
