"""int8 networks: they run in int8, say what the float network says, and are refused in one message."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from lut.predictor.generate import generate
from lut.predictor.models.quantise import quantised
from targets.errors import DamagedFileError


def perceptron(shape: list[Any], kind: int = TensorProto.FLOAT) -> bytes:
    """Conv, Relu, Sigmoid and Mul, GlobalAveragePool on an input of this shape, with weights from a seed."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((32, 8, 3, 3)).astype(np.float32) / 8
    cast = [] if kind == TensorProto.FLOAT else [helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT)]
    nodes = [
        *cast,
        helper.make_node("Conv", ["f" if cast else "x", "w"], ["c"], pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Sigmoid", ["r"], ["s"]),
        helper.make_node("Mul", ["r", "s"], ["m"]),
        helper.make_node("GlobalAveragePool", ["m"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "perceptron",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    opset = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())


def run(model: bytes, optimised: Path | None = None) -> np.ndarray:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if optimised:
        options.optimized_model_filepath = str(optimised)
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    wanted = session.get_inputs()[0]
    image = np.random.default_rng(1).standard_normal(wanted.shape, dtype=np.float32)
    return np.asarray(session.run(None, {wanted.name: image})[0])


def test_operators_run_in_int8_and_answer_as_before(tmp_path: Path) -> None:
    model = perceptron([1, 8, 16, 16])
    ours, theirs = run(quantised(model), tmp_path / "int8.onnx"), run(model)
    # 8 bits over the range of the values: a few parts in 255
    assert np.abs(ours - theirs).max() < 0.03 * np.abs(theirs).max()
    operators = {node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node}
    assert {"QLinearConv", "QLinearSigmoid", "QLinearMul", "QLinearGlobalAveragePool"} <= operators
    assert operators.isdisjoint({"Conv", "Sigmoid", "Mul"})


def test_weights_are_int8_per_channel_and_activations_uint8() -> None:
    graph = onnx.load_model_from_string(quantised(perceptron([1, 8, 16, 16]))).graph
    held = {w.name: w for w in graph.initializer}
    zero_points = [held[n.input[2]] for n in graph.node if n.op_type == "QuantizeLinear"]
    assert {w.data_type for w in zero_points} == {TensorProto.UINT8}
    weight = next(w for w in held.values() if list(w.dims) == [32, 8, 3, 3])
    scale = next(held[n.input[1]] for n in graph.node if n.input[0] == weight.name)
    assert (weight.data_type, list(scale.dims)) == (TensorProto.INT8, [32])


def test_same_bytes_every_time_and_not_a_word(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    smallest = min(generate(20, 0), key=lambda n: n.macs).onnx()
    first = quantised(smallest)
    assert first == quantised(smallest)
    assert 0.2 * len(smallest) < len(first) < 0.6 * len(smallest)
    assert np.isfinite(run(first)).all()
    assert (capfd.readouterr(), caplog.records) == (("", ""), [])
    assert logging.root.manager.disable == logging.NOTSET


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (b"", "onnxruntime does not load"),
        (b"\x80\x04renamed pickle", "onnxruntime does not load"),
        (perceptron([1, 8, 16, 16])[:500], "onnxruntime does not load"),
        (perceptron(["batch", 8, 16, 16]), "fixed input size"),
        (perceptron([1, 8, 16, 16], TensorProto.UINT8), "must be float32"),
    ],
    ids=["empty", "pickle", "truncated", "dynamic", "bytes"],
)
def test_what_cannot_be_quantised_is_one_message(model: bytes, message: str) -> None:
    with pytest.raises(DamagedFileError, match=message):
        quantised(model)
