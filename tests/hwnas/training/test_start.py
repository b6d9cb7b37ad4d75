"""Trainings that begin with the shared weights of a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwnas import supernets
from hwnas.networks.modes import safetensors_bytes
from hwnas.pipeline.teachers import start_of
from hwnas.spaces import load_space
from hwnas.training.initial_weights import begin
from hwnas.training.start import start_weights
from targets.errors import DamagedFileError, UsageError

SIZE: dict[str, Any] = {"image_size": 16, "in_channels": 1, "n_classes": 4, "width_mult": 0.5}


def shared(folder: Path, name: str, **size: Any) -> dict[str, str]:
    """The start of fresh shared weights of a space."""
    torch.manual_seed(0)
    supernet = supernets.make(load_space(name, **size))
    (folder / "supernet.safetensors").write_bytes(safetensors_bytes(supernet))
    return start_of(folder / "supernet.safetensors")


def network(name: str, **size: Any) -> dict[str, Any]:
    space = load_space(name, **size)
    arch = space.sample(np.random.default_rng(0))
    return {"space": {"name": name, **size}, "arch": space.to_string(arch)}


def test_a_network_begins_with_its_part_of_the_shared_weights(tmp_path: Path) -> None:
    space, spec = load_space("mobile", **SIZE), network("mobile", **SIZE)
    arch = space.from_string(spec["arch"])
    start = shared(tmp_path, "mobile", **SIZE)
    torch.manual_seed(0)
    expected = supernets.make(space).extract(arch)
    module = space.build(arch)
    begin(module, 5, start_weights(start, spec))
    for name, weight in module.named_parameters():
        torch.testing.assert_close(weight, expected.get_parameter(name))


def test_shared_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    start = shared(tmp_path, "mobile", **SIZE)
    with pytest.raises(DamagedFileError, match="no shared weights of space mobile"):
        start_weights(start, network("mobile", **{**SIZE, "n_classes": 5}))
    with pytest.raises(UsageError, match="no architecture"):
        start_weights(start, {"baseline": "mobilenet_v3_small"})
    size = {"image_size": 16, "in_channels": 1, "n_classes": 4, "cells": 1, "channels": 4}
    start = shared(tmp_path, "nasbench201", **size)
    with pytest.raises(UsageError, match="nasbench201 is searched with another size"):
        start_weights(start, network("nasbench201", **size))
