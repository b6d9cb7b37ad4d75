"""What is measured: blocks of a space and whole networks, as keys, numbers and lazily exported ONNX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TableBlock:
    """One distinct block of a space.

    group: blocks of one group behave alike; rows are measured spread over the groups.
    features: numbers for the predictor; `weight_bytes` and `bytes` (traffic) are used by name where given.
    onnx: exports the block alone; it is called only when the block is measured.
    """

    key: str
    group: str
    features: Mapping[str, float]
    macs: int
    onnx: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class TableNetwork:
    """One whole network: the keys of its blocks, with repetition, and its export.

    prefixes: per block, what the names of its nodes and of their outputs begin with in the exported file, and
    those of no other block (`/blocks.3/`); only the in-context method needs them.
    """

    key: str
    parts: tuple[str, ...]
    macs: int
    onnx: Callable[[], bytes]
    prefixes: tuple[str, ...] = ()
