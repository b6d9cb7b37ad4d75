"""The structure of an ONNX file, read without the onnx package: nodes, attributes, shapes, small weights.

A device has numpy and onnxruntime only, and what it reports of an optimised graph must fit in a line of
JSON. The reader walks the protobuf fields of onnx.proto that matter here and skips all others, so weights of
more than a few numbers are never copied and external data is never opened. Field numbers: onnx/onnx.proto of
ONNX 1.21.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Union

from targets.errors import DamagedFileError

from .protobuf import as_bytes, as_number, as_signed, as_text, fields, packed_floats, packed_ints
from .tensor_numbers import MOST_NUMBERS, tensor_numbers

Attribute = Union[int, float, str, tuple[int, ...], tuple[float, ...]]
OpenShape = tuple[Union[int, str, None], ...]
"""A size per axis; a name or None where it is not fixed."""

ELEMENT_BYTES: Mapping[int, int] = {
    1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2,
}  # fmt: skip
"""Bytes of one element by TensorProto.DataType."""


@dataclass(frozen=True)
class TensorInfo:
    """A weight or a graph input.

    kind: its element type (TensorProto.DataType).
    shape: a size per axis.
    external: its content is in another file.
    numbers: its content, where that is a few finite numbers in the file itself.
    """

    kind: int
    shape: OpenShape
    external: bool = False
    numbers: tuple[float, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Bytes of all elements; axes that are not fixed count as 1."""
        n = ELEMENT_BYTES.get(self.kind, 4)
        for size in self.shape:
            n *= size if isinstance(size, int) else 1
        return n


@dataclass(frozen=True)
class OnnxNode:
    """One operation.

    op, domain, name: the operator, and what the file calls the node.
    inputs, outputs: names of values; empty where one is left out.
    attributes: numbers, texts and lists of numbers; tensors and graphs are left out.
    subgraphs: (name of the attribute, graph) of branches and bodies.
    """

    op: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    subgraphs: tuple[tuple[str, OnnxGraph], ...] = ()


@dataclass(frozen=True)
class OnnxGraph:
    """What an ONNX file computes.

    nodes: in the order of the file.
    weights, inputs: by name; an input that has a value in the file is a weight.
    outputs: names.
    opsets: version by domain.
    """

    nodes: tuple[OnnxNode, ...]
    weights: Mapping[str, TensorInfo]
    inputs: Mapping[str, TensorInfo]
    outputs: tuple[str, ...]
    opsets: Mapping[str, int] = field(default_factory=dict)

    def every_node(self) -> Iterator[OnnxNode]:
        """All nodes; those of a node's branches and bodies come before it."""
        for node in self.nodes:
            for _, graph in node.subgraphs:
                yield from graph.every_node()
            yield node


def read_graph(data: bytes, where: str) -> OnnxGraph:
    """The graph of a serialised ModelProto; DamagedFileError when `data` is none."""
    try:
        graph, opsets = None, {}
        for number, value in fields(memoryview(data)):
            if number == 7:
                graph = value
            elif number == 8:
                entry = dict(fields(value))
                opsets[as_text(entry.get(1, b""))] = int(entry.get(2, 0))
        if graph is None:
            raise ValueError("no graph in it")
        return _graph(graph, opsets)
    except (ValueError, IndexError, struct.error, UnicodeDecodeError, TypeError, RecursionError) as error:
        raise DamagedFileError(f"{where} is not an ONNX model: {error}; export it again") from None


def _graph(data: memoryview, opsets: Mapping[str, int]) -> OnnxGraph:
    nodes: list[OnnxNode] = []
    weights: dict[str, TensorInfo] = {}
    inputs: dict[str, TensorInfo] = {}
    outputs: list[str] = []
    for number, value in fields(data):
        if number == 1:
            nodes.append(_node(value))
        elif number == 5:
            name, tensor = read_tensor(value)
            weights[name] = tensor
        elif number == 11:
            name, tensor = _value_info(value)
            inputs[name] = tensor
        elif number == 12:
            outputs.append(_value_info(value)[0])
    fed = {name: tensor for name, tensor in inputs.items() if name not in weights}
    return OnnxGraph(nodes=tuple(nodes), weights=weights, inputs=fed, outputs=tuple(outputs), opsets=opsets)


def _node(data: memoryview) -> OnnxNode:
    inputs: list[str] = []
    outputs: list[str] = []
    texts = {3: "", 4: "", 7: ""}
    attributes: dict[str, Attribute] = {}
    subgraphs: list[tuple[str, OnnxGraph]] = []
    for number, value in fields(data):
        if number == 1:
            inputs.append(as_text(value))
        elif number == 2:
            outputs.append(as_text(value))
        elif number == 5:
            name, attribute, graphs = _attribute(value)
            subgraphs += [(name, graph) for graph in graphs]
            if attribute is not None:
                attributes[name] = attribute
        elif number in texts:
            texts[number] = as_text(value)
    domain = "" if texts[7] == "ai.onnx" else texts[7]
    return OnnxNode(
        op=texts[4],
        domain=domain,
        name=texts[3],
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        attributes=attributes,
        subgraphs=tuple(subgraphs),
    )


def _attribute(data: memoryview) -> tuple[str, Attribute | None, list[OnnxGraph]]:
    """(name, value or None, the graphs of one that is a graph or several)."""
    name, value = "", None
    graphs: list[OnnxGraph] = []
    ints: list[int] = []
    floats: list[float] = []
    kind = 0
    for number, raw in fields(data):
        if number == 1:
            name = as_text(raw)
        elif number == 20:
            kind = as_number(raw)
        elif number == 2:
            value = struct.unpack("<f", raw)[0]
        elif number == 3:
            value = as_signed(raw)
        elif number == 4:
            value = as_bytes(raw).decode("utf-8", "replace")
        elif number == 7:
            floats += packed_floats(raw)
        elif number == 8:
            ints += [as_signed(raw)] if isinstance(raw, int) else packed_ints(raw)
        elif number in (6, 11):
            graphs.append(_graph(raw, {}))
    if kind == 7 or ints:
        value = tuple(ints)
    elif kind == 6 or floats:
        value = tuple(floats)
    elif value is None and kind == 2:  # proto3 leaves a zero out
        value = 0
    elif value is None and kind == 1:
        value = 0.0
    return name, value, graphs


def read_tensor(data: memoryview) -> tuple[str, TensorInfo]:
    """(name, what it is) of a TensorProto; the content of large ones is left alone."""
    dims: list[int] = []
    name, kind, external = "", 0, False
    content: list[tuple[int, Any]] = []
    for number, value in fields(data):
        if number == 1:
            dims += [as_signed(value)] if isinstance(value, int) else packed_ints(value)
        elif number == 2:
            kind = as_number(value)
        elif number == 8:
            name = as_text(value)
        elif number == 14:
            external = value == 1
        elif len(content) < MOST_NUMBERS:
            content.append((number, value))
    numbers = () if external else tensor_numbers(kind, dims, content)
    return name, TensorInfo(kind, tuple(dims), external, numbers)


def _value_info(data: memoryview) -> tuple[str, TensorInfo]:
    name, kind = "", 0
    shape: list[int | str | None] = []
    for number, value in fields(data):
        if number == 1:
            name = as_text(value)
        elif number == 2:
            for kind_number, tensor in fields(value):
                if kind_number != 1:  # sequences, maps and optionals have no shape
                    continue
                for part, inner in fields(tensor):
                    if part == 1:
                        kind = as_number(inner)
                    elif part == 2:
                        shape = [_dimension(dim) for n, dim in fields(inner) if n == 1]
    return name, TensorInfo(kind, tuple(shape))


_UNNAMED = ("", "?")


def _dimension(data: memoryview) -> int | str | None:
    """A size, or a name; None where it has none: exporters write `?`, an empty name, or nothing."""
    values = dict(fields(data))
    if 1 in values:
        return as_signed(values[1])
    name = as_text(values[2]) if 2 in values else ""
    return None if name in _UNNAMED else name
