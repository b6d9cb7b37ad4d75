"""Preprocessing inside the file: the answers of the plain file to the same pixels, by onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn

from hwnas.exporting.export import onnx_bytes
from hwnas.exporting.packaging import Packaging, with_preprocessing
from targets.errors import UsageError
from tests.support.exports import two_inputs

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def run(model: bytes, x: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    out: np.ndarray = session.run(None, {session.get_inputs()[0].name: x})[0]
    return out


def operators(model: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_model_from_string(model).graph.node]


NETWORKS: dict[str, tuple[Any, list[str]]] = {
    # With padding the mean is taken off before; without, it is in the bias too.
    "padded convolution": (lambda: nn.Conv2d(3, 6, 3, padding=1, bias=False), ["Sub", "Conv"]),
    "convolution without padding": (lambda: nn.Conv2d(3, 6, 3), ["Conv"]),
    "without padding and bias": (lambda: nn.Conv2d(3, 6, 3, bias=False), ["Conv"]),
    "depthwise convolution": (lambda: nn.Conv2d(3, 6, 3, groups=3), ["Conv"]),
    "no convolution": (lambda: nn.ReLU(), ["Sub", "Mul", "Relu"]),
}


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("name", NETWORKS)
def test_pixels_give_the_answers_of_the_plain_network(name: str, layout: str) -> None:
    torch.manual_seed(0)
    build, expected = NETWORKS[name]
    plain = onnx_bytes(build(), (2, 3, 9, 7))
    packed = with_preprocessing(plain, layout, MEAN, STD)
    onnx.checker.check_model(packed, full_check=True)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 9, 7, 3)).astype(np.uint8)
    by_hand = ((pixels / 255 - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)
    given = pixels if layout == "nhwc" else pixels.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(run(packed, np.ascontiguousarray(given)), run(plain, by_hand), atol=2e-5)
    assert operators(packed) == [*(["Transpose"] if layout == "nhwc" else []), "Cast", *expected]
    graph = onnx.load_model_from_string(packed).graph
    read = {name for node in graph.node for name in node.input}
    assert {weight.name for weight in graph.initializer} <= read  # none is left over from before


def test_a_residual_around_the_image_is_not_folded() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = x + self.conv(x)
            return out

    plain = onnx_bytes(Residual(), (1, 3, 4, 4))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3)).astype(np.uint8)
    by_hand = ((pixels / 255 - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)
    packed = with_preprocessing(plain, "nhwc", MEAN, STD)
    np.testing.assert_allclose(run(packed, pixels), run(plain, by_hand), atol=2e-5)
    assert operators(packed)[:4] == ["Transpose", "Cast", "Sub", "Mul"]


def test_softmax_is_that_of_numpy() -> None:
    plain = onnx_bytes(nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), (1, 3, 2, 2))
    x = np.random.default_rng(0).standard_normal((1, 3, 2, 2)).astype(np.float32)
    logits = run(plain, x)
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(run(Packaging(softmax=True).reference(plain), x), expected, rtol=1e-5)


def test_what_cannot_take_pixels_is_refused() -> None:
    with pytest.raises(UsageError, match="reads a, b; leave it out"):
        with_preprocessing(two_inputs(), "nhwc", (0.5,), (0.5,))
    with pytest.raises(UsageError, match="did you mean 'nhwc'"):
        Packaging(layout="nhcw")
