"""What a table is made of: blocks of a space and whole networks, as keys, numbers and export functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TableBlock:
    """One distinct block of a space.

    key: its name in the table.
    group: blocks of one group behave alike; the blocks to measure are spread over the groups.
    features: numbers for the estimator; `weight_bytes` and `bytes` (traffic) are used by name where present.
    macs: multiply-accumulates of a run.
    onnx: exports the block on its own; it is called only when the block is measured.
    """

    key: str
    group: str
    features: Mapping[str, float]
    macs: int
    onnx: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class TableNetwork:
    """One whole network.

    key: its name in messages and reports.
    blocks: the keys of its blocks in order, with repetition.
    macs: multiply-accumulates of a run.
    onnx: exports the network.
    prefixes: one per block; in the exported file the names of its nodes and of their outputs begin with it,
        and no other block's do (`/blocks.3/`). Only the in-context method needs them.
    """

    key: str
    blocks: tuple[str, ...]
    macs: int
    onnx: Callable[[], bytes]
    prefixes: tuple[str, ...] = ()
