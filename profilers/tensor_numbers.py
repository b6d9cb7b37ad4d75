"""The content of small tensors of an ONNX file: exponents, steps, axes."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from .protobuf import as_bytes, as_signed, packed_ints

MOST_NUMBERS = 8
"""An axis each of the highest rank that is met, and a margin."""

_FORMATS: Mapping[int, str] = {
    1: "f", 2: "B", 3: "b", 4: "H", 5: "h", 6: "i", 7: "q", 9: "?", 10: "e", 11: "d", 12: "I", 13: "Q",
}  # fmt: skip
"""How `struct` calls an element, by TensorProto.DataType."""

_FLOATS, _INT32, _INT64, _RAW, _DOUBLES, _UINT64 = 4, 5, 7, 9, 10, 11
_WHOLE = (2, 3, 4, 5, 6, 7, 9, 12, 13)
"""Types whose numbers stand in a field of whole numbers as they are; those of half precision are bits."""


def tensor_numbers(kind: int, shape: Sequence[int], content: Sequence[tuple[int, Any]]) -> tuple[float, ...]:
    """The numbers of a TensorProto; () where it holds none, more than `MOST_NUMBERS`, or one not finite.

    kind: its element type (TensorProto.DataType). content: (field number, value), other fields included.

    >>> tensor_numbers(7, [2], [(7, 2), (7, 3)])
    (2, 3)
    """
    n = math.prod(shape)
    if not 0 < n <= MOST_NUMBERS:
        return ()
    numbers: list[float] = []
    for number, value in content:
        if number == _RAW:
            numbers += _unpacked(as_bytes(value), _FORMATS.get(kind, ""))
        elif number == _FLOATS and kind == 1:
            numbers += _unpacked(as_bytes(value), "f")
        elif number == _DOUBLES and kind == 11:
            numbers += _unpacked(as_bytes(value), "d")
        elif number in (_INT32, _INT64, _UINT64) and kind in _WHOLE:
            numbers += [as_signed(value)] if isinstance(value, int) else packed_ints(value)
    return tuple(numbers) if len(numbers) == n and all(map(math.isfinite, numbers)) else ()


def _unpacked(data: bytes, element: str) -> Sequence[float]:
    """All whole elements: one that is torn, or of no type that is known, shows in their number."""
    size = struct.calcsize(f"<{element}")
    n = len(data) // size if size else 0
    return struct.unpack(f"<{n}{element}", data[: n * size]) if n else ()
