"""Percentile ranges against numpy's quantiles of all values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lut.predictor.models.quantise import quantised
from lut.predictor.models.ranges import PERCENTILE, WIDEST, percentile_ranges
from targets.int8_form import UINT8


def network() -> bytes:
    """Two products by 1: what comes out is what goes in."""
    weight = numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="first"),
        helper.make_node("MatMul", ["a", "w"], ["y"], name="second"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [50, 4]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def samples() -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    batches = [rng.standard_normal((50, 4)).astype(np.float32) for _ in range(200)]
    batches[7][3, 2] = 500.0  # one value of 40,000
    return [{"x": batch} for batch in batches]


def test_ranges_are_quantiles_to_a_bin(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(network())
    values = np.concatenate([s["x"] for s in samples()])
    (low, high) = percentile_ranges(path, samples(), kept=0.999)["a"]
    bin_width = float(values.max() - values.min()) / 2048
    assert low == pytest.approx(np.quantile(values, 0.0005), abs=bin_width)
    assert high == pytest.approx(np.quantile(values, 0.9995), abs=bin_width)


def test_an_outlier_does_not_decide_the_scale() -> None:
    scales = {}
    for ranges in (WIDEST, PERCENTILE):
        held = onnx.load_model_from_string(quantised(network(), UINT8, samples(), ranges=ranges)).graph
        scales[ranges] = {
            w.name: float(numpy_helper.to_array(w))
            for w in held.initializer
            if w.name.endswith("_scale") and not w.dims
        }["a_scale"]
    assert scales[WIDEST] > 500 / 255
    assert scales[PERCENTILE] < 10 / 255  # what a normal distribution reaches, and a bin on either side


def test_a_constant_tensor_has_a_range(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(network())
    (low, high) = percentile_ranges(path, [{"x": np.zeros((50, 4), np.float32)}])["y"]
    assert low <= 0.0 <= high
