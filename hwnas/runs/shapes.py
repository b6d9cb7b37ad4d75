"""What the files of a finished search hold, checked where a later command reads them.

They may have been edited. Only what commands rely on is described; other keys may be there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, FiniteFloat, TypeAdapter, ValidationError

from hwnas.core.words import number
from targets.errors import DamagedFileError

_MEASURED = ("val_accuracy", "test_accuracy", "latency_p50_ms")
"""What every network has that was trained, exported and tested."""


def _told(values: dict[str, Any]) -> dict[str, Any]:
    """ValueError for a latency or accuracy that is no number, and where one of a trained network lacks."""
    for name, value in values.items():
        known = name.partition("@")[0] in (*_MEASURED, "val_accuracy_search", "latency_ms")
        if known and value is not None and (isinstance(value, str) or number(value) is None):
            raise ValueError(f"{name} must be a finite number, got {str(value)[:40]}")
    trained = any(name.startswith("test_") and value is not None for name, value in values.items())
    lacking = [name for name in _MEASURED if trained and values.get(name) is None]
    if lacking:
        raise ValueError(f"{lacking[0]} is missing")
    return values


_Figures = Annotated[dict[str, Any], AfterValidator(_told)]


@dataclass
class _Point:
    arch_id: str
    arch: str
    origin: str
    pick: str | None
    predicted: _Figures
    measured: _Figures | None
    feasible: bool
    failure: str | None = None
    reason: str | None = None


@dataclass
class _Target:
    name: str


@dataclass
class _Evaluated:
    arch: str
    val_accuracy_search: FiniteFloat | None = None


@dataclass
class FrontShape:
    """front.json of a search, in the names that this program works with."""

    points: list[_Point]
    chosen: str | None
    target: _Target
    space: dict[str, Any] = field(default_factory=dict)
    evaluator: str = ""
    evaluated: list[_Evaluated] = field(default_factory=list)
    counts: dict[str, Any] = field(default_factory=dict)
    task: str | None = None
    store: str | None = None


@dataclass
class SplitsShape:
    """splits.json: names of samples by split."""

    train: list[str]
    val: list[str]
    test: list[str]


@dataclass
class _DeviceTable:
    intercept_ms: FiniteFloat
    blocks_ms: dict[str, FiniteFloat]
    square_ms_per_mb2: FiniteFloat
    weights_mb: dict[str, FiniteFloat]


@dataclass
class TableShape(_DeviceTable):
    """table.json: the latencies that the run works with, of other devices too."""

    others: dict[str, _DeviceTable] = field(default_factory=dict)


def require_shape(document: Any, kind: type, path: Path, what: str) -> None:
    """DamagedFileError with the first fault of a document of the run. kind: a class of this file."""
    try:
        TypeAdapter(kind).validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(map(str, fault["loc"])) or "all of it"
        why = fault["msg"].removeprefix("Value error, ")
        raise DamagedFileError(
            f"{what}: {path}: {place}: {why}; it is of an older version or was changed: restore it, or "
            "search again"
        ) from None
