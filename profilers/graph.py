"""The structure of an ONNX file, read without the onnx package: nodes, attributes and shapes, no weights.

A device has numpy and onnxruntime only, and what it reports of an optimised graph must fit in a line of
JSON. The reader walks the protobuf fields of onnx.proto that matter here and skips all others, so weights are
never copied and external data is never opened. Field numbers: onnx/onnx.proto of ONNX 1.21.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Union

from targets.errors import DamagedFileError

Attribute = Union[int, float, str, tuple[int, ...], tuple[float, ...]]
OpenShape = tuple[Union[int, str, None], ...]
"""A size per axis; a name or None where it is not fixed."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

ELEMENT_BYTES: Mapping[int, int] = {
    1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2,
}  # fmt: skip
"""Bytes of one element by TensorProto.DataType."""


@dataclass(frozen=True)
class TensorInfo:
    """A weight or a graph input: its element type (TensorProto.DataType) and its shape."""

    kind: int
    shape: OpenShape
    external: bool = False

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
                opsets[_text(entry.get(1, b""))] = int(entry.get(2, 0))
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
            inputs.append(_text(value))
        elif number == 2:
            outputs.append(_text(value))
        elif number == 5:
            name, attribute, graphs = _attribute(value)
            subgraphs += [(name, graph) for graph in graphs]
            if attribute is not None:
                attributes[name] = attribute
        elif number in texts:
            texts[number] = _text(value)
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
            name = _text(raw)
        elif number == 20:
            kind = _number(raw)
        elif number == 2:
            value = struct.unpack("<f", raw)[0]
        elif number == 3:
            value = _signed(raw)
        elif number == 4:
            value = _bytes(raw).decode("utf-8", "replace")
        elif number == 7:
            floats += _packed_floats(raw)
        elif number == 8:
            ints += [_signed(raw)] if isinstance(raw, int) else _packed_ints(raw)
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
    """(name, what it is) of a TensorProto, its content left alone."""
    dims: list[int] = []
    name, kind, external = "", 0, False
    for number, value in fields(data):
        if number == 1:
            dims += [_signed(value)] if isinstance(value, int) else _packed_ints(value)
        elif number == 2:
            kind = _number(value)
        elif number == 8:
            name = _text(value)
        elif number == 14:
            external = value == 1
    return name, TensorInfo(kind, tuple(dims), external)


def _value_info(data: memoryview) -> tuple[str, TensorInfo]:
    name, kind = "", 0
    shape: list[int | str | None] = []
    for number, value in fields(data):
        if number == 1:
            name = _text(value)
        elif number == 2:
            for kind_number, tensor in fields(value):
                if kind_number != 1:  # sequences, maps and optionals have no shape
                    continue
                for part, inner in fields(tensor):
                    if part == 1:
                        kind = _number(inner)
                    elif part == 2:
                        shape = [_dimension(dim) for n, dim in fields(inner) if n == 1]
    return name, TensorInfo(kind, tuple(shape))


_UNNAMED = ("", "?")


def _dimension(data: memoryview) -> int | str | None:
    """A size, or a name; None where it has none: exporters write `?`, an empty name, or nothing."""
    values = dict(fields(data))
    if 1 in values:
        return _signed(values[1])
    name = _text(values[2]) if 2 in values else ""
    return None if name in _UNNAMED else name


def fields(data: Any) -> Iterator[tuple[int, Any]]:
    """(field number, value) of a message: int for varints, bytes for the rest; ValueError where torn."""
    if isinstance(data, int):
        raise ValueError("a number where a message belongs")
    return ((number, value) for number, value, _ in spans(data))


def spans(data: memoryview) -> Iterator[tuple[int, Any, int]]:
    """As `fields`, with the byte behind each field: the next one begins there."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value, at
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        elif wire == _FIXED32:
            size = 4
        elif wire == _FIXED64:
            size = 8
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        if number == 0 or at + size > end:
            raise ValueError(f"it ends in the middle of a field, at byte {at}")
        at += size
        yield number, data[at - size : at], at


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError(f"a number without end at byte {at}")


def _packed_ints(data: memoryview) -> list[int]:
    numbers, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        numbers.append(_signed(value))
    return numbers


def _packed_floats(data: memoryview) -> list[float]:
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def _number(value: Any) -> int:
    """A value of wire type varint; ValueError for bytes in its place."""
    if isinstance(value, int):
        return value
    raise ValueError("bytes where a number belongs")


def _bytes(value: Any) -> bytes:
    """A value of wire type bytes; ValueError for a number, which `bytes` would take as a length."""
    if isinstance(value, int):
        raise ValueError("a number where bytes belong")
    return bytes(value)


def _signed(value: Any) -> int:
    number = _number(value)
    return number - (1 << 64) if number >= 1 << 63 else number


def _text(data: Any) -> str:
    return _bytes(data).decode("utf-8")
