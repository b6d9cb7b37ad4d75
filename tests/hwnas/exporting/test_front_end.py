"""The front end in exported files: raw values in, torch's answers out, and float in 8-bit files."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from hwnas.data import Data, eval_batches, file_batches, load_data
from hwnas.exporting.export import describe_input, network_file
from hwnas.exporting.front_end import file_shape
from hwnas.exporting.int8 import calibration
from hwnas.exporting.onnx_score import onnx_logits, open_session
from hwnas.exporting.packaging import Packaging
from hwnas.exporting.source import ExportSource, check_packaging
from hwnas.networks.log_mel import Standardise
from hwnas.training.train import logits_of
from lut.devices.device import int8_form
from lut.predictor.models.quantise import as_run, front_nodes, quantised
from targets import load_target
from targets.errors import UsageError


def network(data: Data) -> nn.Module:
    """A convolution, a mean and a linear layer, of seeded weights."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(data.in_channels, 8, (1, 5), padding=(0, 2)),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, data.n_classes),
    ).eval()


@pytest.fixture(scope="module", params=["gestures", "calls"])
def data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Data:
    return load_data(request.param, None, 0, root=tmp_path_factory.mktemp("home"))


def test_the_file_takes_raw_values_and_answers_as_torch(data: Data) -> None:
    module = network(data)
    model = network_file(module, data, 2, {"arch_id": "x"})
    session = open_session(model)
    (wanted,) = session.get_inputs()
    assert (wanted.name, tuple(wanted.shape)) == (data.kind.input_name, file_shape(data, 2))
    got, _ = onnx_logits(session, file_batches(data, "test", 2, 16))
    expected, _ = logits_of(module, eval_batches(data, "test", 2, 16))
    np.testing.assert_allclose(got, expected, atol=1e-4)
    assert {p.key: p.value for p in onnx.load_model_from_string(model).metadata_props} == {"arch_id": "x"}


def test_its_operators_are_common(data: Data) -> None:
    model = onnx.load_model_from_string(network_file(network(data), data, 1))
    used = {node.op_type for node in model.graph.node if node.name.startswith("front/")}
    assert used <= {"Sub", "Mul", "Add", "Conv", "Log", "Constant"}
    onnx.checker.check_model(model, full_check=True)


def test_the_front_end_stays_in_float(data: Data) -> None:
    model = network_file(network(data), data, 1)
    form = int8_form(load_target("host-int8"))
    small = quantised(model, form, calibration(data, 1), floats=front_nodes(model))
    for shipped_or_measured in (small, as_run(model, load_target("host-int8"))):
        graph = onnx.load_model_from_string(shipped_or_measured).graph
        readers = {node.op_type for node in graph.node if data.kind.input_name in node.input}
        assert readers and readers <= {"Sub", "Conv"}  # nothing quantises the raw values
    plain, _ = onnx_logits(open_session(model), file_batches(data, "test", 1, 16))
    got, _ = onnx_logits(open_session(small), file_batches(data, "test", 1, 16))
    assert np.abs(got - plain).max() < 0.1 * np.abs(plain).max()


def test_standardisation_is_that_of_the_batches(data: Data) -> None:
    front = Standardise(data.mean, data.std)
    chosen = data.split("test")[:4]
    x, _ = next(eval_batches(data, "test", 4))
    torch.testing.assert_close(front(data.images(chosen)), x.contiguous(), atol=1e-5, rtol=1e-5)


def test_what_apps_must_know_is_said(data: Data) -> None:
    said = describe_input(data, file_shape(data, 1))
    assert said["sample"] == data.kind.name and "inside the file" in said["normalisation"]
    assert "scale" not in said and "colour_order" not in said
    assert (said.get("rate_hz") == 8000) == (data.kind.name == "sound")


def test_preprocessing_of_images_is_refused(data: Data) -> None:
    source = ExportSource(
        name="x",
        kind="a test",
        model=network_file(network(data), data, 1),
        data=data,
        described=describe_input(data, file_shape(data, 1)),
    )
    with pytest.raises(UsageError, match=f"takes a {data.kind.name} and standardises it already"):
        check_packaging(source, Packaging(layout="nhwc"))
