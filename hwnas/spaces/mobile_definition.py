"""The stages of the space `mobile`: as its file has them, checked, and at the scale of a space."""

from __future__ import annotations

from collections.abc import Mapping
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
class MobileStage:
    """A stage at the scale of the space.

    width_choice: index of the choice of its width.
    widths: numbers of channels, the options of that choice.
    size_in: side of its input in pixels.
    stride: of its first layer.
    layers: per layer the index of the choice of its operation.
    """

    width_choice: int
    widths: tuple[int, ...]
    size_in: int
    stride: int
    layers: tuple[int, ...]


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
        if not widths or not all(isinstance(w, int) and 1 <= w <= 4096 for w in widths):
            raise UsageError(f"{where}: {place}widths must be a list of channel counts, got {widths!r}")
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
    return MobileDefinition(
        operations=operations,
        stem_channels=positive(stem, "channels", where, "stem."),
        stem_stride=positive(stem, "stride", where, "stem.", range(1, 3)),
        head_channels=positive(head, "channels", where, "head."),
        stages=tuple(stages),
    )


def _operations(table: Mapping[str, Any], where: str) -> tuple[str, ...]:
    operations = different_names(table, "operations", where)
    for name in operations:
        if name == SKIP or Operation.parse(str(name)).kind == "skip":
            raise UsageError(
                f"{where}: operations: 'skip' is added automatically where shapes allow it; leave it out"
            )
    return operations
