"""Described kernels, and networks whose times follow a law that the tests know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lut.predictor.kernels.features import kernels_of
from lut.predictor.kernels.labels import Labelled


def described(op: str, inputs: list[list[int]], output: list[int], **more: Any) -> dict[str, Any]:
    """A kernel as `profilers.kernels.describe` tells it; a list in `weights` marks weights."""
    weights = more.pop("weights", [])
    arguments = [["activation", "float", s] for s in inputs] + [["weight", "float", s] for s in weights]
    return {
        "op": op,
        "domain": more.pop("domain", ""),
        "name": more.pop("name", op),
        "provider": "CPUExecutionProvider",
        "attributes": more,
        "inputs": arguments,
        "outputs": [["activation", "float", output]],
        "reads": [],
        "writes": [],
    }


def conv(c_in: int, c_out: int, size: int, kernel: int) -> dict[str, Any]:
    """A dense convolution with bias that keeps the size of the image."""
    return described(
        "Conv",
        [[1, c_in, size, size]],
        [1, c_out, size, size],
        weights=[[c_out, c_in, kernel, kernel], [c_out]],
        group=1,
        strides=[1, 1],
        pads=[kernel // 2] * 4,
    )


@pytest.fixture
def make() -> Callable[..., dict[str, Any]]:
    return described


@pytest.fixture
def make_conv() -> Callable[..., dict[str, Any]]:
    return conv


@pytest.fixture(scope="session")
def world() -> Callable[..., list[Labelled]]:
    """Networks on a device where a kernel takes 5 us, 10 ns per kMAC and 0.1 ns per byte."""

    def networks(n: int, seed: int = 0, factor: float = 1.0, noise: float = 0.0) -> list[Labelled]:
        rng = np.random.default_rng(seed)
        found = []
        for i in range(n):
            parts = []
            for _ in range(int(rng.integers(6, 16))):
                size, kernel = int(rng.choice([7, 14, 28, 56])), int(rng.choice([1, 3]))
                parts.append(conv(int(rng.integers(1, 17)) * 8, int(rng.integers(1, 17)) * 8, size, kernel))
                parts.append(described("Relu", [parts[-1]["outputs"][0][2]], parts[-1]["outputs"][0][2]))
            kernels = kernels_of(parts)
            moved = np.array([k.read_bytes + k.write_bytes + k.weight_bytes for k in kernels])
            ms = factor * (5e-3 + 1e-8 * np.array([k.macs for k in kernels]) + 1e-7 * moved)
            ms *= np.exp(noise * rng.standard_normal(len(ms)))
            found.append(Labelled(f"n{i}", parts, kernels, ms, float(1.1 * ms.sum() + 0.02), 0.01, 12))
        return found

    return networks
