"""What a kernel is once its family has told its numbers, and what the families share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

BLOCKED = "com.microsoft.nchwc"
"""Domain of the kernels that work on blocks of channels."""

FREE = frozenset(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Shape", "Constant"))
"""They rename a buffer; what they cost is the call."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """kind: the unit of coverage. family: `conv`, `matmul` or `memory`. values: the family's features.

    executed: MACs as they are executed, on whole tiles. units: how often the innermost loop starts: stretches
    of memory that are worked on as one. scratch_bytes: of memory that one image needs in between.
    """

    kind: str
    family: str
    macs: float
    executed: float
    read_bytes: float
    write_bytes: float
    weight_bytes: float
    units: float
    scratch_bytes: float
    values: tuple[float, ...]

    @property
    def terms(self) -> tuple[float, ...]:
        """What a roofline may be made of: a call, what is executed, what is moved and how often."""
        return (
            *(1.0, self.executed, self.read_bytes, self.write_bytes, self.weight_bytes, self.units),
            self.scratch_bytes,
        )


@dataclass(frozen=True, slots=True)
class Found:
    """What a family says of a kernel; see Kernel."""

    kind: str
    macs: float
    executed: float
    units: float
    values: tuple[float, ...]
    scratch_bytes: float = 0.0


def log1(value: float) -> float:
    """The logarithm of value + 1."""
    return math.log(value + 1)


def given(one: Mapping[str, Any]) -> list[Any]:
    """The arguments that are there."""
    return [a for a in one["inputs"] if a[0] != "none"]


def bytes_each(one: Mapping[str, Any]) -> int:
    """Bytes of an element of the first input (of the output where it is smaller, as int8 from float)."""
    kinds = [a[1] for a in [*one["inputs"][:1], *one["outputs"][:1]]]
    return min((_BYTES.get(kind, 4) for kind in kinds), default=4)


_BYTES = {"uint8": 1, "int8": 1, "bool": 1, "float16": 2, "float": 4, "int32": 4, "int64": 8, "double": 8}
