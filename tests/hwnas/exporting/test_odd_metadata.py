"""Metadata of an ONNX file under names that hwnas uses, written by another tool."""

from __future__ import annotations

import pytest
from onnx import TensorProto, helper

from hwnas.pipeline.exports.metadata import metadata_of


@pytest.mark.parametrize(
    ("key", "value"),
    [("class_names", "5"), ("class_names", "[1]"), ("mean", "[1e999]"), ("std", '"a"'), ("std", "{")],
)
def test_what_is_no_such_value_is_left_out(key: str, value: str) -> None:
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [image], [])
    model = helper.make_model(graph)
    helper.set_model_props(model, {key: value, "normalisation": "none"})
    assert metadata_of(model.SerializeToString()) == {"normalisation": "none"}
    helper.set_model_props(model, {"mean": "[0.5]", "class_names": '["a"]'})
    assert metadata_of(model.SerializeToString()) == {"mean": [0.5], "class_names": ["a"]}
