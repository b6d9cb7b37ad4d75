"""The int8 file of an exported model: quantised on training images, hashed, scored and measured as it is."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn

import lut
from hwnas.data import Data, eval_batches, load_data
from hwnas.exporting.export import Exported, export_model, onnx_accuracy, open_model
from hwnas.exporting.int8 import CALIBRATION_IMAGES, calibration, export_int8, int8_path
from hwnas.exporting.onnx_score import onnx_logits, open_session
from hwnas.pipeline.main_job import RunContext, evaluation
from hwnas.pipeline.main_job.candidate import Candidate, Finalist
from hwnas.pipeline.main_job.devices import RunDevice
from hwnas.runs.log import Log
from lut.predictor.models.quantise import quantised
from targets import Target, default_form, host_facts, load_target
from targets.errors import DamagedFileError
from targets.int8_form import INT8_SYMMETRIC, UINT8, UINT8_REDUCED, Int8Form

HERE = default_form(host_facts())


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Data:
    torch.set_num_threads(1)
    return load_data("digits", 16, 0, root=tmp_path_factory.mktemp("home"))


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1), nn.Hardsigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x * self.gate(x)
        return out


@pytest.fixture(scope="module")
def network(digits: Data) -> nn.Module:
    """Depthwise and pointwise convolutions with a gate, trained for a second: nearly all digits are right."""
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.Hardswish()),
        *(nn.Conv2d(16, 16, 5, 1, 2, groups=16, bias=False), nn.BatchNorm2d(16), nn.Hardswish()),
        SqueezeExcite(16),
        *(nn.Conv2d(16, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)),
    )
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(8):
        for x, y in eval_batches(digits, "train", 64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
    return net.eval()


def export(network: nn.Module, data: Data, folder: Path, batch: int = 1, form: Int8Form = HERE) -> Exported:
    model = export_model(network, data, folder, arch_id="a", network={}, dot="", batch=batch)
    return export_int8(model, data, form)


@pytest.fixture(scope="module")
def model(network: nn.Module, digits: Data, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(network, digits, tmp_path_factory.mktemp("model"))


def logits(file: Path | bytes, data: Data) -> np.ndarray:
    return onnx_logits(open_session(file), eval_batches(data, "val", 1))[0]


@pytest.mark.slow
def test_it_is_int8_and_nearly_as_right(model: Exported, digits: Data, tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    path = int8_path(model)
    assert path is not None
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    operators = {node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node}
    assert "QLinearConv" in operators and "Conv" not in operators
    float_score, score = (onnx_accuracy(file, digits, "test") for file in (model.onnx, path))
    assert float_score.accuracy > 0.9
    assert score.accuracy > float_score.accuracy - 0.03


@pytest.mark.slow
def test_scales_of_training_images_beat_those_of_noise(model: Exported, digits: Data) -> None:
    source, path = model.onnx.read_bytes(), int8_path(model)
    assert path is not None
    right, ours, noise = (logits(file, digits) for file in (source, path, quantised(source, HERE)))
    assert np.abs(ours - right).mean() < 0.7 * np.abs(noise - right).mean()


def test_the_manifest_vouches_for_it(network: nn.Module, digits: Data, tmp_path: Path) -> None:
    made = export(network, digits, tmp_path)
    path = tmp_path / "model.int8.onnx"
    assert (
        made.manifest == open_model(tmp_path).manifest == json.loads((tmp_path / "manifest.json").read_text())
    )
    assert set(made.manifest["files"]) == {"model.onnx", "weights.safetensors", "arch.dot", path.name}
    facts = made.manifest["int8"]
    assert facts["size_mb"] == path.stat().st_size / 1e6
    assert facts["calibration"]["images"] == CALIBRATION_IMAGES
    given, ours = ({p.key: p.value for p in onnx.load(f).metadata_props} for f in (made.onnx, path))
    assert {k: ours[k] for k in given} == given and ours["precision"] == "int8"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DamagedFileError, match=r"model\.int8\.onnx is not the file that was exported"):
        open_model(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("form", [UINT8, UINT8_REDUCED, INT8_SYMMETRIC], ids=lambda form: form.text)
def test_the_file_has_the_form_that_the_manifest_says(
    form: Int8Form, network: nn.Module, digits: Data, tmp_path: Path
) -> None:
    model = export(network, digits, tmp_path, form=form)
    assert model.manifest["int8"]["form"] == f"QDQ, {form.text}"
    graph = onnx.load(model.folder / "model.int8.onnx").graph
    held = {w.name: onnx.numpy_helper.to_array(w) for w in graph.initializer}
    zero_points = [held[n.input[2]] for n in graph.node if n.op_type == "QuantizeLinear"]
    assert {str(z.dtype) for z in zero_points} == {form.activations}
    largest = max(np.abs(w.astype(int)).max() for w in held.values() if w.dtype == np.int8 and w.ndim == 4)
    assert largest == (64 if form.reduced_range else 127)


def test_the_same_images_give_the_same_file(
    network: nn.Module, digits: Data, model: Exported, tmp_path: Path
) -> None:
    again = export(network, digits, tmp_path)
    assert again.manifest["files"] == model.manifest["files"]


def test_it_is_calibrated_on_training_images_only(digits: Data) -> None:
    fed = np.concatenate([batch["image"] for batch in calibration(digits, 1)])
    assert len(fed) == CALIBRATION_IMAGES
    train = np.concatenate([x.numpy() for x, _ in eval_batches(digits, "train", 512)])
    known = {image.tobytes() for image in np.ascontiguousarray(train)}
    assert all(image.tobytes() in known for image in fed)
    # 256 images in batches of 24: the last one is filled up
    assert {batch["image"].shape for batch in calibration(digits, 24)} == {(24, 1, 16, 16)}


def test_a_file_of_several_images_is_quantised_too(network: nn.Module, digits: Data, tmp_path: Path) -> None:
    path = int8_path(export(network, digits, tmp_path, batch=24))
    assert path is not None
    assert onnx_accuracy(path, digits, "val").accuracy > 0.85


def test_without_it_there_is_none(network: nn.Module, digits: Data, tmp_path: Path) -> None:
    made = export_model(network, digits, tmp_path, arch_id="a", network={}, dot="")
    assert int8_path(made) is None


def device_of(target: str) -> RunDevice:
    """The only device of a run."""
    return RunDevice(
        name=target, metric="latency_ms", target=load_target(target), table={"context": {"hash": "0"}}
    )


@pytest.mark.slow
@pytest.mark.parametrize("target", ["host", "host-int8"])
def test_a_search_scores_and_measures_the_file_that_its_target_runs(
    target: str, network: nn.Module, digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = Candidate(
        width=1.0, origin="front", pick="accurate", predicted={"latency_ms": 1.0}, measured={},
        val_accuracy_search=0.5,
    )  # fmt: skip
    finalist = Finalist(arch_id="net", network={}, candidate=candidate)
    device = device_of(target)
    context: Any = SimpleNamespace(
        device=device,
        form=device.form,
        devices=[device],
        burden=lambda costs: costs["latency_ms"],
        data=digits,
        path=tmp_path,
        home=tmp_path / "home",
        config=SimpleNamespace(batch=1, seed=0, prefer=None, grown_data=None),
        run=SimpleNamespace(log=(log := Log(io.StringIO())), progress=log.progress),
        budgets=(),
        table={"context": {"hash": "0"}},
        result=lambda stage: {"models": [{"arch_id": "net", "failure": None}]},
    )
    monkeypatch.setattr(evaluation, "finalists", lambda context: [finalist])
    trained = SimpleNamespace(module=lambda: network)
    monkeypatch.setattr(evaluation, "read_trained", lambda context, finalist: trained)
    outcome = evaluation.evaluate_models(context)
    measured: dict[str, Any] = outcome.result["models"][0]["measured"]
    made = open_model(tmp_path / "models" / "net")
    runs = int8_path(made) or made.onnx
    assert (runs.name == "model.int8.onnx") == (target == "host-int8")
    assert measured["test_accuracy"] == onnx_accuracy(runs, digits, "test").accuracy
    assert measured["size_mb"] == runs.stat().st_size / 1e6
    assert made.manifest["test_accuracy"] == onnx_accuracy(made.onnx, digits, "test").accuracy
    if target == "host":
        assert made.manifest["latency"]["latency_p50_ms"] == measured["latency_p50_ms"]
        assert not any(name.startswith("fp32") for name in measured)
        return
    assert measured["fp32_test_accuracy"] == made.manifest["test_accuracy"]
    assert measured["fp32_size_mb"] == made.manifest["size_mb"]
    assert measured["fp32_latency_p50_ms"] == made.manifest["latency"]["latency_p50_ms"]
    int8 = made.manifest["int8"]
    assert int8["latency"]["latency_p50_ms"] == measured["latency_p50_ms"] > 0
    assert (int8["test_accuracy"], int8["val_accuracy"]) == (
        measured["test_accuracy"],
        measured["val_accuracy"],
    )


@pytest.mark.parametrize("target", ["host", "host-int8"])
def test_candidates_and_baselines_are_measured_as_the_target_runs_them(
    target: str, model: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, bytes] = {}

    def measure(of: Target, files: dict[str, bytes], **_: Any) -> dict[str, Any]:
        asked.update(files)
        return {}

    monkeypatch.setattr(lut, "measure", measure)
    context: Any = SimpleNamespace(devices=[device_of(target)], home=tmp_path, run=SimpleNamespace(log=str))
    source = model.onnx.read_bytes()
    RunContext.measure(context, {"a": source}, {})
    operators = {node.op_type for node in onnx.load_model_from_string(asked["a"]).graph.node}
    assert ("QuantizeLinear" in operators) == (target == "host-int8")
    assert (asked["a"] == source) == (target == "host")
