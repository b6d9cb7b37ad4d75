"""Which table is wanted, and what a method of measuring brings home for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lut.devices.measurement import Measurement
from targets import Target
from targets.errors import UsageError, did_you_mean

from .networks import TableBlock, TableNetwork

BLOCK_LEVEL, IN_CONTEXT = "block-level", "in-context"
METHODS = (BLOCK_LEVEL, IN_CONTEXT)
"""How blocks are priced: each measured alone, or by its kernels in the profile of whole networks."""


def check_method(name: str) -> None:
    """UsageError where it is none of METHODS."""
    if name not in METHODS:
        raise UsageError(f"unknown method {name!r} of measuring blocks; {did_you_mean(name, METHODS)}")


@dataclass(frozen=True, slots=True)
class TableRequest:
    """Which table is wanted. wholes: to calibrate and check on. profiled: networks to see blocks in."""

    target: Target
    method: str
    space_id: str
    parts: Sequence[TableBlock]
    wholes: Sequence[TableNetwork]
    profiled: Sequence[TableNetwork]
    seed: int


@dataclass(frozen=True, slots=True)
class TableMeasurements:
    """What was measured.

    price_ms: of the blocks that were measured, before the calibration. rows: what the prices are made of, by
    their key in blocks.csv. whole_ms: of the whole networks. noise_pct: mean difference of two sessions of a
    network. facts: what the table reports of the method. file_bytes: of blocks that were exported.
    """

    price_ms: Mapping[str, float]
    rows: Mapping[str, Measurement]
    whole_ms: Mapping[str, float]
    noise_pct: float
    facts: Mapping[str, Any]
    file_bytes: Mapping[str, int]


def row_key(method: str, key: str) -> str:
    """Under which key a block's row stands in blocks.csv, which all methods share."""
    return key if method == BLOCK_LEVEL else f"{method} {key}"
