"""The stage file of the space `mobile`: what it says, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwnas.networks.mobile_blocks import Operation
from targets.errors import UsageError

from .definition import different_names, known, need, positive

SKIP = "skip"


@dataclass(frozen=True, slots=True)
class StageDefinition:
    """One stage of the file, at 224 px and width 1.

    widths: numbers of channels to choose from.
    depth: the most layers.
    stride: of the first layer.
    operations: None takes those of the file.
    """

    widths: tuple[int, ...]
    depth: int
    stride: int
    operations: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class MobileDefinition:
    """The checked content of a stage file.

    operations: names of the options of every layer whose stage gives none of its own.
    stem_channels, stem_stride, head_channels: of the first and last block.
    stages: in order.
    """

    operations: tuple[str, ...]
    stem_channels: int
    stem_stride: int
    head_channels: int
    stages: tuple[StageDefinition, ...]


def read_definition(raw: Mapping[str, Any], where: str) -> MobileDefinition:
    """The content of a stage file, checked; UsageError names the place of a fault."""
    known(raw, {"space", "operations", "stem", "head", "stages"}, where)
    operations = _operations(raw, where)
    stem, head = need(raw, "stem", dict, where), need(raw, "head", dict, where)
    known(stem, {"channels", "stride"}, where, "stem.")
    known(head, {"channels"}, where, "head.")
    stages = []
    for i, stage in enumerate(need(raw, "stages", list, where), 1):
        place = f"stages[{i}]."
        known(stage, {"widths", "depth", "stride", "operations"}, where, place)
        widths = need(stage, "widths", list, where, place)
        counts = all(type(w) is int and 1 <= w <= 4096 for w in widths)  # true is an int
        if not widths or not counts or len(set(widths)) < len(widths):
            raise UsageError(
                f"{where}: {place}widths must be a list of different channel counts, got {widths!r}"
            )
        stages.append(
            StageDefinition(
                widths=tuple(widths),
                depth=positive(stage, "depth", where, place, range(1, 33)),
                stride=positive(stage, "stride", where, place, range(1, 3)),
                operations=_operations(stage, f"{where}: stages[{i}]") if "operations" in stage else None,
            )
        )
    if not stages:
        raise UsageError(f"{where}: give at least one [[stages]] table")
    _require_few_blocks(stages, operations, where)
    return MobileDefinition(
        operations=operations,
        stem_channels=positive(stem, "channels", where, "stem."),
        stem_stride=positive(stem, "stride", where, "stem.", range(1, 3)),
        head_channels=positive(head, "channels", where, "head."),
        stages=tuple(stages),
    )


_MOST_BLOCKS = 100_000
"""Different ones: their costs are tables that a search holds, and a device measures each for milliseconds."""


def _require_few_blocks(stages: Sequence[StageDefinition], operations: tuple[str, ...], where: str) -> None:
    before, n_blocks = 1, 0
    for stage in stages:
        widths, options = len(stage.widths), len(stage.operations or operations)
        n_blocks += options * widths * (before + widths)
        before = widths
    if n_blocks > _MOST_BLOCKS:
        raise UsageError(
            f"{where}: its stages have about {n_blocks:,} different blocks, at most {_MOST_BLOCKS:,} are "
            "allowed; give fewer widths or operations"
        )


def _operations(table: Mapping[str, Any], where: str) -> tuple[str, ...]:
    operations = different_names(table, "operations", where)
    for name in operations:
        if name == SKIP or Operation.parse(str(name)).kind == "skip":
            raise UsageError(
                f"{where}: operations: 'skip' is added automatically where shapes allow it; leave it out"
            )
    return operations
