"""What a reader copies from the page must run as it stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from hwnas.report.run_files import read_run
from hwnas.report.usage_section import model_code, repeat_command


def write_colour_model(path: Path, shape: list[int]) -> None:
    """An ONNX file whose logits are the mean of each channel."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["pixels"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colour",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape[:2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True)
    onnx.save(model, path)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize(("colour", "name"), [((250, 60, 60), "it's red"), ((60, 60, 250), "blue")])
def test_the_five_lines_classify_an_image(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    batch: int,
    colour: tuple[int, int, int],
    name: str,
) -> None:
    shape = [batch, 3, 16, 16]
    write_colour_model(tmp_path / "models/a b/model.onnx", shape)
    Image.new("RGB", (40, 24), colour).save(tmp_path / "image.png")
    monkeypatch.chdir(tmp_path)
    manifest = {"input_name": "pixels", "input_shape": shape, "mean": [0.5] * 3, "std": [0.2, 0.25, 0.3]}
    code = model_code("models/a b/model.onnx", manifest | {"class_names": ["it's red", "green", "blue"]})
    assert len(code.splitlines()) == 5
    exec(code, {})
    assert capsys.readouterr().out == f"{name}\n"


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1)])
def test_the_five_lines_prepare_an_image_as_the_training_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, channels: int
) -> None:
    from hwnas.data.image import PREPROCESSING, decode

    rng = np.random.default_rng(1)
    Image.fromarray(rng.integers(0, 256, (37, 53, 3), dtype=np.uint8)).convert(mode).save(
        tmp_path / "image.png"
    )
    monkeypatch.chdir(tmp_path)
    manifest = {"input_shape": [1, channels, 16, 16], "preprocessing": PREPROCESSING}
    code = model_code("m/model.onnx", manifest | {"mean": [0.4] * channels, "std": [0.3] * channels})
    lines = [line for line in code.splitlines() if not line.startswith(("net", "print"))]
    names: dict[str, Any] = {}
    exec("\n".join(lines), names)
    pixels = decode((tmp_path / "image.png").read_bytes(), "image.png", 16, channels)
    np.testing.assert_allclose(names["x"][0], (pixels / 255 - 0.4) / 0.3, atol=1e-5)
    assert names["x"].dtype == np.float32


def command_of(path: Path, config: dict[str, Any], front: dict[str, Any]) -> str | None:
    (path / "config.resolved.json").write_text(json.dumps({"schema": 1, "config": config} if config else {}))
    (path / "front.json").write_text(json.dumps(front))
    return repeat_command(read_run(path))


def test_the_repeating_command_says_what_is_not_default(tmp_path: Path) -> None:
    config = {"data": "my photos", "targets": ["host"], "seed": 0, "budgets": ["latency_ms<=12"]}
    config |= {"method": "darts", "download": True, "labels": None, "picks": None, "unknown": 1}
    options = "--data 'my photos' --target host --seed 0 --method darts --budget 'latency_ms<=12' --download"
    assert command_of(tmp_path, config, {}) == f"hwnas search {options}"


def test_the_repeating_command_says_what_the_run_worked_out(tmp_path: Path) -> None:
    front = {"budgets": [{"metric": "latency_ms", "limit": 0.27}], "counts": {"generations": 977}}
    command = command_of(tmp_path, {"data": "digits", "seed": 1, "budgets": [], "minutes": 10.0}, front)
    assert command == "hwnas search --data digits --seed 1 --generations 977 --budget 'latency_ms<=0.27'"


def test_without_a_config_there_is_no_command(tmp_path: Path) -> None:
    assert command_of(tmp_path, {}, {}) is None
