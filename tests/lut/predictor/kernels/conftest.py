"""Described kernels, and networks whose times follow a law that the tests know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lut.predictor.kernels.features import features_of
from lut.predictor.kernels.labels import Labelled
from profilers.kernels import Kernel
from tests.support.kernels import activation, weight
from tests.support.kernels import kernel as kernel_of


def described(op: str, inputs: list[list[int]], output: list[int], **more: Any) -> Kernel:
    """A kernel with inputs and output of these shapes, and weights of those in `weights`.

    element_type: of the first input and of the output.
    """
    kind = more.pop("element_type", "float")
    activations = [activation(*s, element_type="float" if i else kind) for i, s in enumerate(inputs)]
    weights = [weight(*s) for s in more.pop("weights", [])]
    return kernel_of(op, activations + weights, [activation(*output, element_type=kind)], **more)


def conv(c_in: int, c_out: int, size: int, kernel: int) -> Kernel:
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
def make() -> Callable[..., Kernel]:
    return described


@pytest.fixture
def make_conv() -> Callable[..., Kernel]:
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
                shape = list(parts[-1].outputs[0].shape)
                parts.append(described("Relu", [shape], shape))
            features = features_of(parts)
            moved = np.array([k.read_bytes + k.write_bytes + k.weight_bytes for k in features])
            ms = factor * (5e-3 + 1e-8 * np.array([k.macs for k in features]) + 1e-7 * moved)
            ms *= np.exp(noise * rng.standard_normal(len(ms)))
            found.append(Labelled(f"n{i}", parts, features, ms, float(1.1 * ms.sum() + 0.02), 0.01, 12))
        return found

    return networks
