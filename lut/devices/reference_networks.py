"""Two tiny networks: the reference, and the empty one.

The reference runs in every round of every job. All times of a context are given at the speed that its
reference had when it was first measured, so times of different days compare. The empty network measures what
a call of the runtime costs without any work.
"""

from __future__ import annotations

import itertools
from functools import cache

EMPTY_KEY = "(empty run)"
"""The key of the empty network in blocks.csv."""

REFERENCE_VERSION = 2
"""Part of the context: a change of the reference changes the unit of all times."""

_OPSET = 17
_IR = 8
_SIZE, _CHANNELS = 112, (3, 16, 32, 64)


@cache
def reference_onnx() -> bytes:
    """The reference, about 1 ms of dense, depthwise and pointwise convolutions, as searched networks have."""
    import numpy as np
    from onnx import NodeProto, TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes: list[NodeProto] = []
    weights: list[TensorProto] = []
    before = "x"

    def conv(c_in: int, c_out: int, kernel: int, stride: int, groups: int = 1) -> None:
        nonlocal before
        name = f"conv{len(nodes)}"
        shape = (c_out, c_in // groups, kernel, kernel)
        scale = np.sqrt(2 / np.prod(shape[1:]))
        weights.append(
            numpy_helper.from_array((scale * rng.standard_normal(shape)).astype(np.float32), name + "w")
        )
        weights.append(numpy_helper.from_array(np.zeros(c_out, np.float32), name + "b"))
        nodes.append(
            helper.make_node(
                "Conv",
                [before, name + "w", name + "b"],
                [name],
                kernel_shape=[kernel, kernel],
                pads=[kernel // 2] * 4,
                strides=[stride, stride],
                group=groups,
            )
        )
        nodes.append(helper.make_node("Relu", [name], [name + "r"]))
        before = name + "r"

    for c_in, c_out in itertools.pairwise(_CHANNELS):
        conv(c_in, c_out, 3, 2)
        conv(c_out, 3 * c_out, 1, 1)
        conv(3 * c_out, 3 * c_out, 3, 1, groups=3 * c_out)
        conv(3 * c_out, c_out, 1, 1)
    nodes.append(helper.make_node("GlobalAveragePool", [before], ["y"]))
    graph = helper.make_graph(
        nodes,
        "reference",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, _CHANNELS[0], _SIZE, _SIZE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, _CHANNELS[-1], 1, 1])],
        weights,
    )
    return _bytes(graph)


@cache
def empty_onnx() -> bytes:
    """The empty network: one Identity of one number."""
    from onnx import TensorProto, helper

    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 1]) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "empty", value[:1], value[1:])
    return _bytes(graph)


def _bytes(graph: object) -> bytes:
    from onnx import helper

    model = helper.make_model(
        graph,  # type: ignore[arg-type]  # a GraphProto, but importing onnx here is what this avoids
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
    )
    return bytes(model.SerializeToString())
