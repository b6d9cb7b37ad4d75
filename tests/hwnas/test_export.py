"""The exporter: against onnxruntime, against torch's other exporter, and against itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from hwnas.export import onnx_bytes


class _SqueezeExcite(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, 4, 1)
        self.expand = nn.Conv2d(4, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = torch.relu(self.reduce(nn.functional.adaptive_avg_pool2d(x, 1)))
        return x * nn.functional.hardsigmoid(self.expand(gate))


class _Residual(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.body(x)
        return out


def _conv(n_in: int, n_out: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(n_out)]


def _head(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 5)]


def _plain() -> nn.Module:
    return nn.Sequential(*_conv(3, 8, stride=2), nn.ReLU(), *_head(8))


def _mbconv() -> nn.Module:
    body = [*_conv(8, 24, 1), nn.Hardswish(), *_conv(24, 24, 5, groups=24), nn.Hardswish()]
    block = _Residual(nn.Sequential(*body, _SqueezeExcite(24), *_conv(24, 8, 1)))
    return nn.Sequential(*_conv(3, 8, stride=2), nn.Hardswish(), block, *_head(8))


NETWORKS: dict[str, Callable[[], nn.Module]] = {"plain": _plain, "mbconv": _mbconv}


def _network(name: str) -> nn.Module:
    """A network whose batch statistics are those of noise, not the initial 0 and 1."""
    torch.manual_seed(0)
    module = NETWORKS[name]()
    with torch.no_grad():
        module.train()(torch.randn(32, 3, 16, 16))
    return module.eval()


def _run(model: bytes, x: torch.Tensor) -> np.ndarray:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    out: np.ndarray = session.run(None, {"image": x.numpy()})[0]
    return out


@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_agrees_with_torch_and_with_the_dynamo_exporter(name: str, tmp_path: Path) -> None:
    module, x = _network(name), torch.randn(1, 3, 16, 16)
    ours = _run(onnx_bytes(module, (1, 3, 16, 16)), x)
    path = tmp_path / "dynamo.onnx"
    torch.onnx.export(
        module, (x,), path, dynamo=True, external_data=False, input_names=["image"], verbose=False
    )
    other = _run(path.read_bytes(), x)
    with torch.no_grad():
        expected = module(x).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    np.testing.assert_allclose(ours, other, atol=1e-5)
