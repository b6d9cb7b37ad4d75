"""int8 networks: they run in int8, say what the float network says, and are refused in one message."""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from lut.predictor.device_predictor import DevicePredictor
from lut.predictor.generate import generate
from lut.predictor.kernels.model import KernelModel
from lut.predictor.kernels.network import Overhead
from lut.predictor.latency_predictor import LatencyPredictor
from lut.predictor.models.quantise import as_run, quantised
from targets import Int8Form, default_form, host_facts, load_target, make_context
from targets.errors import DamagedFileError
from targets.int8_form import INT8_SYMMETRIC, UINT8, UINT8_REDUCED

HERE = default_form(host_facts())
"""The form in which the kernels of this CPU do not saturate."""

SWITCHES = product((False, True), repeat=3)
FORMS = [
    Int8Form(activations=activations, symmetric=symmetric, reduced_range=reduced, per_channel=per_channel)
    for symmetric, reduced, per_channel in SWITCHES
    for activations in ("uint8", "int8")
]


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


def run(model: bytes, optimised: Path | None = None, level: str = "enable_all") -> np.ndarray:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_{level.upper()}")
    if optimised:
        options.optimized_model_filepath = str(optimised)
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    wanted = session.get_inputs()[0]
    image = np.random.default_rng(1).standard_normal(wanted.shape, dtype=np.float32)
    return np.asarray(session.run(None, {wanted.name: image})[0])


def test_operators_run_in_int8_and_answer_as_before(tmp_path: Path) -> None:
    model = perceptron([1, 8, 16, 16])
    ours, theirs = run(quantised(model, HERE), tmp_path / "int8.onnx"), run(model)
    # 8 bits over the range of the values: a few parts in 255
    assert np.abs(ours - theirs).max() < 0.03 * np.abs(theirs).max()
    operators = {node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node}
    assert {"QLinearConv", "QLinearSigmoid", "QLinearMul", "QLinearGlobalAveragePool"} <= operators
    assert operators.isdisjoint({"Conv", "Sigmoid", "Mul"})


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.text)
def test_the_file_holds_what_its_form_says(form: Int8Form) -> None:
    graph = onnx.load_model_from_string(quantised(perceptron([1, 8, 16, 16]), form)).graph
    held = {w.name: onnx.numpy_helper.to_array(w) for w in graph.initializer}
    zero_points = [held[n.input[2]] for n in graph.node if n.op_type == "QuantizeLinear"]
    assert {str(z.dtype) for z in zero_points} == {form.activations}
    middle = 128 if form.activations == "uint8" else 0
    # The outputs of Relu have a range from 0 up: unless symmetric, their zero point is the lowest value.
    assert {int(z) for z in zero_points} == ({middle} if form.symmetric else {middle, middle - 128})
    weight = next(name for name, w in held.items() if w.shape == (32, 8, 3, 3))
    dequantised = next(n for n in graph.node if n.input[0] == weight)
    assert held[weight].dtype == np.int8
    assert held[dequantised.input[1]].size == (32 if form.per_channel else 1)
    assert not held[dequantised.input[2]].any()
    highest = np.abs(held[weight].astype(int)).max()
    assert highest == (64 if form.reduced_range else 127)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.text)
def test_each_form_is_near_the_float_network_by_exact_sums(form: Int8Form) -> None:
    """Without optimisation the runtime computes in float between the quantisers: no sum saturates."""
    model = perceptron([1, 8, 16, 16])
    ours, theirs = run(quantised(model, form), level="disable_all"), run(model)
    assert np.abs(ours - theirs).max() < 0.03 * np.abs(theirs).max()


def test_seven_bits_are_what_x86_without_vnni_sums_exactly() -> None:
    """vpmaddubsw adds two products of uint8 and int8 in int16 (Intel SDM): the largest must fit."""
    graph = onnx.load_model_from_string(quantised(perceptron([1, 8, 16, 16]), UINT8_REDUCED)).graph
    weights = [
        onnx.numpy_helper.to_array(w).astype(int) for w in graph.initializer if w.dims == [32, 8, 3, 3]
    ]
    assert 2 * 255 * max(np.abs(w).max() for w in weights) <= np.iinfo(np.int16).max < 2 * 255 * 127


@pytest.mark.parametrize("form", [UINT8, UINT8_REDUCED, INT8_SYMMETRIC], ids=lambda form: form.text)
def test_a_target_runs_the_form_that_it_names(form: Int8Form) -> None:
    model, target = perceptron([1, 8, 16, 16]), replace(load_target("host-int8"), quantisation=form)
    assert as_run(model, target) == quantised(model, form)


def test_a_target_that_names_none_runs_that_of_its_cpu() -> None:
    model = perceptron([1, 8, 16, 16])
    assert as_run(model, load_target("host-int8")) == quantised(model, HERE)
    assert as_run(model, load_target("host")) is model


@pytest.mark.parametrize("form", [UINT8, UINT8_REDUCED, INT8_SYMMETRIC], ids=lambda form: form.text)
def test_a_predictor_quantises_in_the_form_of_its_profile(form: Int8Form) -> None:
    profiled = replace(load_target("host-int8"), quantisation=form)
    context, model = make_context(profiled, host_facts(), ""), KernelModel({}, {}, {}, {})
    stored = LatencyPredictor(context, profiled.name, "", model, Overhead(1, 0, 0), (1.0, 1.0, 1.0), {}, 1.0)
    predictor = DevicePredictor(load_target("host-int8"), stored)
    network = perceptron([1, 8, 16, 16])
    assert predictor.as_deployed("m", network) == quantised(network, form)


def test_what_is_quantised_already_stays() -> None:
    model = quantised(perceptron([1, 8, 16, 16]), UINT8)
    assert as_run(model, replace(load_target("host-int8"), quantisation=INT8_SYMMETRIC)) is model


@pytest.mark.slow
def test_same_bytes_every_time_and_not_a_word(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    smallest = min((n for n in generate(20, 0) if n.form == "large"), key=lambda n: n.macs).onnx()
    first = quantised(smallest, HERE)
    assert first == quantised(smallest, HERE)
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
        quantised(model, HERE)
