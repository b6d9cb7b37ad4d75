"""A file beside the float file: nearness by hand calculation, and the layer that is to blame."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from hwnas.exporting.check import check_variant, layer_differences, worst_layer
from hwnas.exporting.export import onnx_bytes
from hwnas.exporting.packaging import Packaging


def chain(*factors: float) -> bytes:
    """A file that multiplies four numbers by each factor, one node after the other."""
    weights = [numpy_helper.from_array(np.array(f, np.float32), f"w{i}") for i, f in enumerate(factors)]
    names = ["x", *(f"t{i}" for i in range(len(factors)))]
    nodes = [
        helper.make_node("Mul", [names[i], f"w{i}"], [names[i + 1]], name=f"mul{i}")
        for i in range(len(factors))
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 4]) for n in (names[0], names[-1])]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def test_the_same_file_has_no_difference() -> None:
    check = check_variant(chain(2, 3), chain(2, 3), None, 0.0, "fp32")
    assert (check.max_difference, check.reason, check.fed) == (0.0, "", "noise")
    assert check.worst_layer is None and check.snr_db == 200.0


def test_a_relative_error_of_a_tenth_is_20_db_and_the_layer_that_makes_it_is_named() -> None:
    check = check_variant(chain(2, 3.3, 1), chain(2, 3, 1), None, 1e-2, "other")
    assert check.snr_db == pytest.approx(20.0, abs=1e-3)  # 10 * log10(1 / 0.1 ** 2)
    assert check.worst_layer is not None and check.worst_layer["layer"] == "mul1"
    assert (
        check.reason.startswith("other: its outputs differ")
        and "the worst layer is mul1 (Mul)" in check.reason
    )
    assert check.max_difference == pytest.approx(0.1 * check.largest_output, rel=1e-5)


def test_noise_is_the_same_pixels_for_both_files() -> None:
    plain = onnx_bytes(nn.Conv2d(3, 4, 3), (1, 3, 8, 8))
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    for layout in ("nhwc", "nchw"):
        packaging = Packaging(layout=layout)
        packed = packaging.pack(plain, mean, std)
        check = check_variant(packed, plain, None, 1e-4, "fp32", packaging, (mean, std))
        assert check.reason == "" and check.snr_db is not None and check.snr_db > 80
        wrong = packaging.pack(plain, (0.5, 0.5, 0.5), std)
        assert "differ" in check_variant(wrong, plain, None, 1e-4, "fp32", packaging, (mean, std)).reason


def test_small_outputs_are_compared_by_their_own_size() -> None:
    assert "differ" in check_variant(chain(1e-9, 1.1), chain(1e-9, 1), None, 1e-2, "x").reason


def test_without_a_tolerance_only_what_is_no_number_is_refused() -> None:
    assert check_variant(chain(2, 5), chain(2, 3), None, None, "int8").reason == ""
    broken = check_variant(chain(2, float("nan")), chain(2, 3), None, None, "int8")
    assert "not all finite" in broken.reason and broken.max_difference is None


def test_a_layer_is_as_near_as_the_layers_before_it_let_it_be() -> None:
    layers = layer_differences(chain(2, 3.3, 1), chain(2, 3, 1), [{"x": np.ones((1, 4), np.float32)}])
    assert [layer.tensor for layer in layers] == ["t0", "t1", "t2"]
    assert [round(layer.snr_db, 3) for layer in layers[1:]] == [20.0, 20.0]
    assert layers[0].snr_db == np.inf
    assert worst_layer(layers).layer == "mul1"


def test_what_does_not_load_or_has_another_shape_is_a_reason_and_no_exception() -> None:
    assert "no model that onnxruntime can run" in check_variant(b"\x08", chain(2), None, 0.0, "x").reason
    wide = onnx.load_model_from_string(chain(2))
    node = helper.make_node("Concat", ["t0", "t0"], ["wide"], axis=1)
    wide.graph.node.append(node)
    wide.graph.output[0].CopyFrom(helper.make_tensor_value_info("wide", TensorProto.FLOAT, [1, 8]))
    assert "another shape" in check_variant(wide.SerializeToString(), chain(2), None, 0.0, "x").reason
