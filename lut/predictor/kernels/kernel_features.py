"""What a kernel is once its family has counted its work, and what the families share."""

from __future__ import annotations

import math
from dataclasses import dataclass

from profilers.kernels import Argument, Kernel

from .feature_names import ContextFeatures, FamilyFeatures, SizeFeatures

BLOCKED = "com.microsoft.nchwc"
"""Domain of the kernels that work on blocks of channels."""

FREE = frozenset((
    "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Shape", "Constant", "If", "Loop", "Scan",
))  # fmt: skip
"""They rename a buffer, or run kernels that are listed beside them; what they cost is the call."""


@dataclass(frozen=True, slots=True)
class KernelFeatures:
    """A kernel as numbers.

    kind: the unit of coverage, for example "blocked Conv 3x3".
    family: `conv`, `matmul` or `memory`.
    macs, executed: multiply-accumulates, and those executed on whole tiles.
    read_bytes, write_bytes, weight_bytes: activations read and written, weights read.
    units: how often the innermost loop starts: stretches of memory that are worked on as one.
    scratch_bytes: of memory that one image needs in between.
    specific: the features that only its family has.
    size, context: the features of any kernel, and of the network around it.
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
    specific: FamilyFeatures
    size: SizeFeatures
    context: ContextFeatures

    @property
    def values(self) -> tuple[float, ...]:
        """What the trees read, in the order of NAMES."""
        return (*map(float, self.specific), *self.size, *self.context)

    @property
    def named(self) -> dict[str, float]:
        """The same values by name."""
        return {**self.specific._asdict(), **self.size._asdict(), **self.context._asdict()}

    @property
    def sizes(self) -> tuple[float, ...]:
        """Logarithms of its work and traffic, and of the network's: what makes kernels near to each other."""
        work = (self.size.log_macs, self.size.log_read, self.size.log_write, self.size.log_weight)
        return (*work, self.size.log_units, self.context.log_net_weights, self.context.log_kinds)

    @property
    def terms(self) -> tuple[float, ...]:
        """What a roofline may be made of: a call, what is executed, what is moved and how often."""
        moved = (self.read_bytes, self.write_bytes, self.weight_bytes)
        return (1.0, self.executed, *moved, self.units, self.scratch_bytes)


@dataclass(frozen=True, slots=True)
class KernelWork:
    """What a family counts of a kernel; the fields are those of KernelFeatures."""

    kind: str
    macs: float
    executed: float
    units: float
    specific: FamilyFeatures
    scratch_bytes: float = 0.0


def log1(value: float) -> float:
    """The logarithm of value + 1."""
    return math.log(value + 1)


def present(kernel: Kernel) -> list[Argument]:
    """The inputs that are not left out."""
    return [argument for argument in kernel.inputs if argument.role != "none"]


def bytes_each(kernel: Kernel) -> int:
    """Bytes of an element of the first input (of the output where it is smaller, as int8 from float)."""
    first = (*kernel.inputs[:1], *kernel.outputs[:1])
    return min((_BYTES.get(argument.element_type, 4) for argument in first), default=4)


_BYTES = {"uint8": 1, "int8": 1, "bool": 1, "float16": 2, "float": 4, "int32": 4, "int64": 8, "double": 8}
