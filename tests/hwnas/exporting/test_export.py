"""The exporter: against onnxruntime, against torch's other exporter, and against itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import safetensors.torch
import torch
from torch import nn

from hwnas.data import Data, eval_batches, load_data
from hwnas.exporting.complexity import compare_with_ptflops
from hwnas.exporting.export import export_model, onnx_accuracy, onnx_bytes, open_model
from hwnas.training.train import logits_of
from targets.errors import DamagedFileError


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


@pytest.mark.slow
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


def test_batch_and_metadata_are_in_the_file() -> None:
    model = onnx.load_model_from_string(onnx_bytes(_network("plain"), (4, 3, 16, 16), metadata={"a": "b"}))
    dims = model.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_value for d in dims] == [4, 3, 16, 16]
    assert {p.key: p.value for p in model.metadata_props} == {"a": "b"}
    assert model.opset_import[0].version == 17


def test_the_exported_module_stays_as_it_was() -> None:
    module = _network("mbconv").train()
    next(module.children()).eval()
    before = [m.training for m in module.modules()]
    onnx_bytes(module, (1, 3, 16, 16))
    assert [m.training for m in module.modules()] == before


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return load_data("digits", 16, 0, root=tmp_path_factory.mktemp("home"))


def _grey(module: nn.Module) -> nn.Module:
    """The same for grey images of 10 classes; batch statistics as a training leaves them."""
    whole = nn.Sequential(nn.Conv2d(1, 3, 1), module, nn.Linear(5, 10))
    with torch.no_grad():
        whole.train()(torch.randn(32, 1, 16, 16))
    return whole.to(memory_format=torch.channels_last)


def test_a_model_folder_says_everything_and_scores_as_torch(digits: Data, tmp_path: Path) -> None:
    module = _grey(_network("mbconv"))
    exported = export_model(
        module,
        digits,
        tmp_path / "a1",
        arch_id="a1",
        network={"baseline": "x"},
        dot="digraph {}",
        batch=8,  # 359 images: the last batch is incomplete
        facts={"val_accuracy": 0.5},
        now=lambda: datetime(2026, 1, 2, tzinfo=UTC),
    )
    manifest = open_model(tmp_path / "a1").manifest
    assert manifest == exported.manifest
    assert (manifest["created"], manifest["val_accuracy"]) == ("2026-01-02T00:00:00+00:00", 0.5)
    assert manifest["check"]["max_difference"] <= 1e-4 * max(1, manifest["check"]["largest_logit"])
    props = {p.key: p.value for p in onnx.load(exported.onnx).metadata_props}
    assert json.loads(props["class_names"]) == list(digits.class_names)
    assert json.loads(props["mean"]) == pytest.approx(digits.mean)
    assert json.loads(props["input_shape"]) == [8, 1, 16, 16]
    assert props["colour_order"] == "grey"

    score = onnx_accuracy(exported.onnx, digits, "test")
    logits, labels = logits_of(module, eval_batches(digits, "test", 64))
    assert score.disagreements(logits) == 0
    assert score.accuracy == pytest.approx((logits.argmax(1) == labels).mean())
    np.testing.assert_allclose(score.logits, logits, atol=1e-4)
    stored = safetensors.torch.load_file(exported.weights)
    assert all(torch.equal(v, stored[k]) for k, v in module.state_dict().items())


def test_the_manifest_compares_the_costs_with_ptflops(digits: Data, tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    module.append(nn.Linear(4, 10))
    # On paper: 3*3*4 per pixel of 16 x 16 and 4*10; the weights and 10 biases, which ptflops' MACs count too.
    on_paper = {"macs": 16 * 16 * 36 + 40, "params": 36 + 40 + 10}

    def noted(**costs: float) -> dict[str, Any]:
        options: dict[str, Any] = {"arch_id": "a", "network": {}, "dot": "", "costs": costs}
        manifest = export_model(module.train(), digits, tmp_path, **options).manifest
        assert module.training and open_model(tmp_path).manifest == manifest
        return dict(manifest["ptflops"])

    counted = {"macs": on_paper["macs"] + 10, "params": on_paper["params"]}
    expected = {"expected_macs": on_paper["macs"], "expected_params": on_paper["params"]}
    assert noted(**on_paper, latency_ms=1.0) == {**counted, **expected, "differs": False}
    assert noted(**{**on_paper, "params": on_paper["params"] + 1})["differs"] is True
    assert noted(**{**on_paper, "macs": 1.02 * on_paper["macs"]})["differs"] is True


def test_what_ptflops_cannot_count_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    counted = compare_with_ptflops(nn.Conv2d(3, 4, 1), (1, 8, 8), {"macs": 1.0, "params": 2.0})
    assert counted["differs"] is None and counted["macs"] is None
    assert "ptflops cannot count Conv2d" in counted["reason"] and "channel" in counted["reason"]
    assert capsys.readouterr() == ("", "")


def test_facts_can_be_noted_later(digits: Data, tmp_path: Path) -> None:
    exported = export_model(_grey(_network("plain")), digits, tmp_path, arch_id="a", network={}, dot="")
    exported.noted(latency={"p50_ms": 1.5, "device": "host"})
    assert open_model(tmp_path).manifest["latency"] == {"p50_ms": 1.5, "device": "host"}


class _Traced(nn.Module):
    """Answers otherwise while it is traced, as a broken exporter would make it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 0.01 if torch.onnx.is_in_onnx_export() else x


def test_a_file_that_answers_otherwise_is_refused_and_kept_aside(digits: Data, tmp_path: Path) -> None:
    module = nn.Sequential(_grey(_network("plain")), _Traced())
    with pytest.raises(DamagedFileError, match=r"differ from torch's by 0\.01") as raised:
        export_model(module, digits, tmp_path, arch_id="a", network={}, dot="")
    assert raised.value.exit_code == 3
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx.rejected"]


@pytest.mark.parametrize("name", ["model.onnx", "weights.safetensors", "arch.dot"])
def test_a_changed_or_missing_file_is_noticed(digits: Data, tmp_path: Path, name: str) -> None:
    export_model(_grey(_network("plain")), digits, tmp_path, arch_id="a", network={}, dot="x")
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DamagedFileError, match="SHA-256"):
        open_model(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(DamagedFileError, match="does not exist"):
        open_model(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a model"])
def test_scoring_a_file_that_is_no_model_is_one_error(digits: Data, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match="no model that onnxruntime can run"):
        onnx_accuracy(path, digits, "val")
