"""Edit an ONNX file without the onnx package: the messages that change are written anew, the rest copied.

Only what leads to tensors and inputs is walked (onnx/onnx.proto of ONNX 1.21); weights are never decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from profilers.protobuf import spans

Edit = Callable[[memoryview], "bytes | None"]
"""The bytes of a message -> those of another one; None: it stays as it is."""

_INSIDE: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 11: "input", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
"""Message: field number: message."""

_BYTES = 2


def edited(data: memoryview, edits: Mapping[str, Edit], kind: str = "model") -> bytes | None:
    """The message after the edits of all messages in it by kind (`tensor`, `input`); None when none applied.

    ValueError or IndexError where `data` is no such message.
    """
    if kind in edits:
        return edits[kind](data)
    inside = _INSIDE.get(kind)
    if inside is None:
        return None
    parts: list[bytes | memoryview] = []
    start = copied = 0
    for number, value, end in spans(data):
        if number in inside and isinstance(value, memoryview):
            new = edited(value, edits, inside[number])
            if new is not None:
                parts += [data[copied:start], field(number, new)]
                copied = end
        start = end
    return b"".join([*parts, data[copied:]]) if parts else None


def without(data: memoryview, numbers: Iterable[int]) -> bytes:
    """The message without these fields."""
    left, start, gone = [], 0, frozenset(numbers)
    for number, _, end in spans(data):
        if number not in gone:
            left.append(data[start:end])
        start = end
    return b"".join(left)


def field(number: int, value: bytes | int) -> bytes:
    """One field: bytes with their length, a whole number of at least 0 as a varint."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | _BYTES) + varint(len(value)) + value


def varint(value: int) -> bytes:
    """A whole number of at least 0, seven bits per byte."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
