"""`Reshape` for `Flatten`: every provider has the one, CoreML lacks the other."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper


def without_flatten(model: bytes) -> bytes:
    """The network with each `Flatten` of axis 1 as a `Reshape` to (batch, rest); the same bytes without one.

    Only where the batch is fixed: a `Reshape` to a size that is not known needs operators of its own.
    """
    if b"Flatten" not in model:
        return model
    loaded = onnx.load_model_from_string(model)
    graph = loaded.graph
    sizes = _first_sizes(loaded)
    for node in graph.node:
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        batch = sizes.get(node.input[0]) if node.op_type == "Flatten" and axis == 1 else None
        if batch is None:
            continue
        shape = numpy_helper.from_array(np.array([batch, -1], np.int64), f"{node.output[0]}_shape")
        graph.initializer.append(shape)
        node.op_type = "Reshape"
        node.input.append(shape.name)
        del node.attribute[:]
    return bytes(loaded.SerializeToString())


def _first_sizes(model: onnx.ModelProto) -> dict[str, int]:
    """The size of the first axis of every tensor for which it is fixed."""
    known = onnx.shape_inference.infer_shapes(model).graph
    sizes = {}
    for value in (*known.input, *known.value_info, *known.output):
        dims = value.type.tensor_type.shape.dim
        if dims and dims[0].dim_value > 0:
            sizes[value.name] = int(dims[0].dim_value)
    return sizes
