"""Slices between int8 convolutions, channels last: the rule numbers their axes as the runtime does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from lut.predictor.kernels.features import features_of
from lut.predictor.layout import HOST_GRAPH, LayoutRule, apply_rule, extended_kernels, run_kernels


def network(axis: int) -> bytes:
    """A convolution, every second place along an axis, and a convolution."""
    places = {"b": 0, "e": 99, "axis": axis, "step": 2}
    weights = {
        "s": np.float32(0.1),
        "z": np.uint8(0),
        "t": np.int8(0),
        "w": np.ones((8, 8, 3, 3), np.int8),
        "v": np.ones((8, 4 if axis == 1 else 8, 3, 3), np.int8),
        **{name: np.array([value], np.int64) for name, value in places.items()},
    }
    nodes = [
        helper.make_node("QLinearConv", ["x", "s", "z", "w", "s", "t", "s", "z"], ["a"]),
        helper.make_node("Slice", ["a", "b", "e", "axis", "step"], ["c"]),
        helper.make_node("QLinearConv", ["c", "s", "z", "v", "s", "t", "s", "z"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 8, 12, 14])],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


@pytest.mark.parametrize(
    ("axis", "kind"), [(1, "int8 Slice by element"), (2, "int8 Slice"), (3, "int8 Slice"), (-1, "int8 Slice")]
)
def test_the_rule_and_the_runtime_slice_the_same_axis(axis: int, kind: str) -> None:
    data = network(axis)
    real = run_kernels(data, replace(HOST_GRAPH, graph_level="all"))
    for listed in (real, apply_rule(extended_kernels(data), LayoutRule())):
        assert [f.kind for f in features_of(listed) if "Slice" in f.kind] == [kind]
