"""Values of options as their declared types want them; UsageError for any other."""

from __future__ import annotations

import math
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from targets.errors import UsageError

_NAMES = {str: "text", dict: "a table", list: "a list", int: "a whole number", bool: "true or false"}
_LARGEST = 1e30


def typed(value: Any, kind: type, where: str) -> Any:
    """The value where it is of that type; true and false are no numbers."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UsageError(f"{where} must be {_NAMES[kind]}, got {value!r}")
    return value


def number(value: Any, where: str) -> float:
    """A whole number is one too."""
    wrong = isinstance(value, bool) or not isinstance(value, (int, float))
    if wrong or not (math.isfinite(value) and abs(value) <= _LARGEST):
        raise UsageError(f"{where} must be a finite number, got {value!r}")
    return float(value)


def pair(value: Any, where: str) -> tuple[float, float]:
    """Of numbers, as a list or a tuple."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise UsageError(f"{where} must be two numbers, got {value!r}")
    return number(value[0], where), number(value[1], where)


def optional(kind: Any) -> bool:
    """Whether an annotation allows None."""
    return get_origin(kind) in (Union, UnionType) and NoneType in get_args(kind)


def declared(value: Any, kind: Any, where: str) -> Any:
    """The value as an annotation wants it: float, int, bool, str, two numbers, or one of these or None."""
    if optional(kind):
        if value is None:
            return None
        (kind,) = (k for k in get_args(kind) if k is not NoneType)
    if kind is float:
        return number(value, where)
    return pair(value, where) if get_origin(kind) is tuple else typed(value, kind, where)
