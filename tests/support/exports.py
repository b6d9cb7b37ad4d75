"""A small network that reads digits, and a home, a run, weights and files of it, for tests of exports."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from safetensors.torch import save_file
from torch import nn

from hwnas.data import Data, eval_batches, load_data
from hwnas.exporting.export import export_model
from hwnas.genotype import read_genotype
from hwnas.runs.config import SearchConfig
from hwnas.runs.log import Log
from hwnas.runs.search_run import create_search
from hwnas.spaces import load_space
from lut import Measurement
from targets.files import write_json

CELL = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
SIZE = ("--image-size", "16", "--cells", "1", "--channels", "8", "--space", "nasbench201")
"""Of the network, as the command line says it."""


def digits(home: Path) -> Data:
    """16 px, one channel."""
    return load_data("digits", 16, 0, root=home)


@cache
def trained_state() -> dict[str, torch.Tensor]:
    """The weights after a second of training: nine of ten digits are right."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    module = network(None)
    data = load_data("digits", 16, 0, root=Path("/nonexistent"))
    optimizer = torch.optim.Adam(module.parameters(), 0.01)
    module.train()
    for _ in range(4):
        for x, y in eval_batches(data, "train", 32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(x), y).backward()
            optimizer.step()
    return {k: v.clone() for k, v in module.state_dict().items()}


def network(state: dict[str, torch.Tensor] | None) -> nn.Module:
    """The network of CELL, with these weights."""
    space = load_space("nasbench201", image_size=16, in_channels=1, n_classes=10, cells=1, channels=8)
    module = space.build(read_genotype(space, CELL))
    if state is not None:
        module.load_state_dict(state)
    return module.eval()


def write_weights(path: Path) -> None:
    save_file({k: v.contiguous() for k, v in trained_state().items()}, path)


def write_search(path: Path, home: Path) -> str:
    """A finished search with one network; returns its id."""
    data = digits(home)
    config = SearchConfig(data="digits", image_size=16, space="nasbench201", home=str(home))
    with create_search(path, config, log=Log(quiet=True)) as run:
        write_json(path / "splits.json", data.splits_json())
        run.finish_stage("splits", {}, ("splits.json",))
    export_model(network(trained_state()), data, path / "models" / "n1", arch_id="n1", network={}, dot="")
    write_json(path / "front.json", {"chosen": "n1", "points": [], "target": {"name": "host"}})
    return "n1"


def independent_accuracy(file: Path, data: Data, split: str) -> float:
    """Accuracy of a file by onnxruntime, numpy and the metadata of the source alone, image by image."""
    session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (wanted,) = session.get_inputs()
    mean = np.array(data.mean, np.float32)[:, None, None]
    std = np.array(data.std, np.float32)[:, None, None]
    right = 0
    indices = data.split(split)
    for index in indices:
        pixels = data.images([index]).numpy()[0].astype(np.float32)
        image = ((pixels / 255 - mean) / std)[None].astype(np.float32)
        (scores,) = session.run(None, {wanted.name: image})
        right += int(scores[0].argmax() == data.labels[index])
    return right / len(indices)


def fake_measurement(latency_ms: float) -> Measurement:
    return Measurement(
        p20_ms=latency_ms, p50_ms=latency_ms, p90_ms=latency_ms, ci_low_ms=latency_ms * 0.99,
        ci_high_ms=latency_ms * 1.01, clock="cpu", flag="ok", n=20,
    )  # fmt: skip


def fake_costs(monkeypatch: Any, latencies_ms: dict[str, float] | None = None) -> list[list[str]]:
    """No device is measured: latencies by variant, 1 ms where none is said. Returns what was asked for."""
    import lut

    asked: list[list[str]] = []

    def measure(target: Any, files: dict[str, bytes], **_: Any) -> dict[str, Measurement]:
        asked.append(sorted(files))
        return {name: fake_measurement((latencies_ms or {}).get(name, 1.0)) for name in files}

    def resources(target: Any, files: dict[str, bytes], kinds: Any, **_: Any) -> dict[str, Any]:
        row = {"load_ms": 3.0, "first_run_ms": 2.0, "peak_bytes": 50_000_000}
        return {name: {"memory": row} for name in files}

    monkeypatch.setattr(lut, "measure", measure)
    monkeypatch.setattr(lut, "measure_resources", resources)
    return asked


def two_inputs() -> bytes:
    """A file that adds two images."""
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 1, 16, 16]) for name in "abc"
    ]
    node = onnx.helper.make_node("Add", ["a", "b"], ["c"])
    graph = onnx.helper.make_graph([node], "sum", ends[:2], ends[2:])
    opset = [onnx.helper.make_opsetid("", 17)]
    return bytes(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())
