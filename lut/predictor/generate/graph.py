"""An ONNX graph under construction: nodes, weights that do not exist yet, and what they cost.

Weights are only shapes until `onnx_bytes` is called, so a builder can try a block, look at its cost and
rewind. Opset and IR version are those of the files that torch's TorchScript exporter writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import TensorProto

OPSET = 17
IR_VERSION = 8
# Prime: no weight shape divides it, so that the rows of a weight differ. Its 16 kB of noise, repeated, are
# within reach of deflate: 60 networks travel as tens of megabytes instead of hundreds.
_BANK = 4093


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the graph: the name of a tensor, and its shape. Maps are (b, c, h, w), tokens (b, n, c)."""

    name: str
    shape: tuple[int, ...]

    @property
    def c(self) -> int:
        """Channels of a map."""
        return self.shape[1]

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width of a map."""
        return self.shape[2], self.shape[3]

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class _Weight:
    name: str
    shape: tuple[int, ...]
    mean: float
    std: float


@dataclass(frozen=True, slots=True)
class _Node:
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]


Mark = tuple[int, int, int, int, int, int]
Numbers = float | Sequence[int] | Sequence[Sequence[int]]


class GraphBuilder:
    """Nodes in order of execution. macs, elements (written), parameters: of all nodes so far."""

    def __init__(self) -> None:
        self.macs = 0
        self.elements = 0
        self.parameters = 0
        self._nodes: list[_Node] = []
        self._weights: list[_Weight] = []
        self._constants: list[tuple[str, Numbers, str]] = []

    def node(self, op: str, inputs: Sequence[Value | str], shape: Sequence[int], **attributes: Any) -> Value:
        """Append a node with one output of this shape."""
        return self.nodes(op, inputs, [shape], **attributes)[0]

    def nodes(
        self, op: str, inputs: Sequence[Value | str], shapes: Sequence[Sequence[int]], **attributes: Any
    ) -> list[Value]:
        """Append a node with one output per shape."""
        stem = f"{op}_{len(self._nodes)}"
        outputs = [Value(f"{stem}_{i}", tuple(shape)) for i, shape in enumerate(shapes)]
        names = tuple(v if isinstance(v, str) else v.name for v in inputs)
        self._nodes.append(_Node(op, names, tuple(t.name for t in outputs), attributes))
        self.elements += sum(t.size for t in outputs)
        return outputs

    def weight(self, shape: Sequence[int], std: float, mean: float = 0.0) -> Value:
        """A float32 weight, normally distributed when it is written."""
        name = f"w{len(self._weights)}"
        self._weights.append(_Weight(name, tuple(shape), mean, std))
        self.parameters += prod(shape)
        return Value(name, tuple(shape))

    def constant(self, value: Numbers, dtype: str = "") -> str:
        """Numbers that are written: int64 in a list (shapes, axes), float32 on its own, unless dtype says."""
        name = f"k{len(self._constants)}"
        self._constants.append(
            (name, value, dtype or ("float32" if isinstance(value, int | float) else "int64"))
        )
        return name

    def mark(self) -> Mark:
        """A place to rewind to."""
        counts = (len(self._nodes), len(self._weights), len(self._constants))
        return (*counts, self.macs, self.elements, self.parameters)

    def rewind(self, mark: Mark) -> None:
        """Forget everything added since `mark`."""
        nodes, weights, constants, self.macs, self.elements, self.parameters = mark
        del self._nodes[nodes:], self._weights[weights:], self._constants[constants:]

    def onnx_bytes(self, images: Sequence[Value], outputs: Sequence[Value], *, typed: bool = True) -> bytes:
        """The finished file; weights come from a fixed table of noise, so equal graphs are equal bytes.

        typed: the outputs are floats of the shapes that are known here; else the runtime infers them.
        """
        from onnx import TensorProto, helper

        graph = helper.make_graph(
            [
                helper.make_node(n.op, n.inputs, n.outputs, name=n.outputs[0], **n.attributes)
                for n in self._nodes
            ],
            "generated",
            [helper.make_tensor_value_info(x.name, TensorProto.FLOAT, x.shape) for x in images],
            [
                helper.make_tensor_value_info(y.name, TensorProto.FLOAT, y.shape)
                if typed
                else helper.make_empty_tensor_value_info(y.name)
                for y in outputs
            ],
            [_drawn(w, i) for i, w in enumerate(self._weights)] + [_fixed(*one) for one in self._constants],
        )
        opset = [helper.make_opsetid("", OPSET)]
        return bytes(helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION).SerializeToString())


@cache
def _bank() -> NDArray[np.float32]:
    import numpy as np

    return np.random.default_rng(0).standard_normal(_BANK, dtype=np.float32)


def _drawn(weight: _Weight, index: int) -> TensorProto:
    import numpy as np
    from onnx import numpy_helper

    start, count = index * 7919 % _BANK, prod(weight.shape)
    noise = np.resize(np.roll(_bank(), -start), count)
    values = noise * np.float32(weight.std) + np.float32(weight.mean)
    return numpy_helper.from_array(values.reshape(weight.shape), weight.name)


def _fixed(name: str, value: Numbers, dtype: str) -> TensorProto:
    import numpy as np
    from onnx import numpy_helper

    return numpy_helper.from_array(np.asarray(value, dtype), name)
