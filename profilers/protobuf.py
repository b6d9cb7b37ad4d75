"""The messages of a protobuf file, field by field, without the protobuf package; nothing is copied."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


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


def packed_ints(data: memoryview) -> list[int]:
    """The numbers of a repeated field of whole numbers."""
    numbers, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        numbers.append(as_signed(value))
    return numbers


def packed_floats(data: memoryview) -> list[float]:
    """The numbers of a repeated field of floats; struct.error where it is torn."""
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def as_number(value: Any) -> int:
    """A value of wire type varint; ValueError for bytes in its place."""
    if isinstance(value, int):
        return value
    raise ValueError("bytes where a number belongs")


def as_bytes(value: Any) -> bytes:
    """A value of wire type bytes; ValueError for a number, which `bytes` would take as a length."""
    if isinstance(value, int):
        raise ValueError("a number where bytes belong")
    return bytes(value)


def as_signed(value: Any) -> int:
    """A value of wire type varint with its sign."""
    number = as_number(value)
    return number - (1 << 64) if number >= 1 << 63 else number


def as_text(data: Any) -> str:
    """A value of wire type bytes as text; UnicodeDecodeError where it is none."""
    return as_bytes(data).decode("utf-8")
