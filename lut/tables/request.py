"""Which table is wanted, and what a method of measuring returns for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lut.devices.measurement import Measurement
from targets import Target
from targets.errors import UsageError, did_you_mean

from .kept_rows import KeptRows
from .networks import TableBlock, TableNetwork

BLOCK_LEVEL, IN_CONTEXT = "block-level", "in-context"
METHODS = (BLOCK_LEVEL, IN_CONTEXT)
"""How the cost of a block is found: in a session of its own, or from its kernels in profiles of networks."""

ACCEPT_ADVICE = (
    "To have it all the same from what was measured, with the noise stated and the margin as wide, add "
    "--accept-noise: to `hwnas profile`, or to a search that goes on, `hwnas search --resume RUN`"
)
"""What to do where a machine stays disturbed."""


def check_method(name: str) -> None:
    """UsageError unless `name` is one of METHODS."""
    if name not in METHODS:
        raise UsageError(f"unknown method {name!r} of measuring blocks; {did_you_mean(name, METHODS)}")


@dataclass(frozen=True, slots=True)
class TableRequest:
    """Which table is wanted.

    target: the device.
    method: one of METHODS.
    space_id: what the table is filed under.
    blocks: all distinct blocks of the space.
    networks: whole networks to calibrate and check on.
    profiled: further networks to see blocks in; only the in-context method uses them.
    seed: of every random draw.
    kept: what was measured for it before, and refused as too noisy.
    accept_noise: make it on a disturbed machine too.
    """

    target: Target
    method: str
    space_id: str
    blocks: Sequence[TableBlock]
    networks: Sequence[TableNetwork]
    profiled: Sequence[TableNetwork]
    seed: int
    kept: KeptRows
    accept_noise: bool = False


@dataclass(frozen=True, slots=True)
class TableMeasurements:
    """What was measured for a table.

    block_ms: cost of each measured block by key, before the calibration.
    rows: the rows of blocks.csv that these costs come from, by their key there; those of earlier profiles
        too.
    network_ms: latency of each whole network by key.
    noise_pct: mean difference of two sessions of one network.
    disturbed: how disturbed the machine was; None where it was steady.
    facts: what the table reports of the method.
    file_bytes: sizes of the exported blocks by key.
    """

    block_ms: Mapping[str, float]
    rows: Mapping[str, Measurement]
    network_ms: Mapping[str, float]
    noise_pct: float
    disturbed: str | None
    facts: Mapping[str, Any]
    file_bytes: Mapping[str, int]


def row_key(method: str, key: str) -> str:
    """The key of a block's row in blocks.csv, which all methods share."""
    return key if method == BLOCK_LEVEL else f"{method} {key}"
