"""Values of options as their declared types want them; UsageError for any other."""

from __future__ import annotations

import math
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Interval

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
    """The value as an annotation wants it: float, int, bool, str, two numbers, or one of these or None.

    Literal lists the texts that are allowed, Annotated with Interval the numbers.

    >>> declared(3, Annotated[int, Interval(ge=2)], "eta")
    3
    """
    if get_origin(kind) is Annotated:
        kind, *stated = get_args(kind)
        value = declared(value, kind, where)
        for limits in stated:
            if isinstance(limits, Interval) and value is not None:
                _require_within(value, limits, where)
        return value
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise UsageError(f"{where} must be {' or '.join(get_args(kind))}, got {value!r}")
        return value
    if optional(kind):
        if value is None:
            return None
        (kind,) = (k for k in get_args(kind) if k is not NoneType)
    if kind is float:
        return number(value, where)
    return pair(value, where) if get_origin(kind) is tuple else typed(value, kind, where)


def _require_within(value: Any, limits: Interval, where: str) -> None:
    kept = {
        f"at least {limits.ge}": limits.ge is None or value >= limits.ge,
        f"above {limits.gt}": limits.gt is None or value > limits.gt,
        f"at most {limits.le}": limits.le is None or value <= limits.le,
        f"below {limits.lt}": limits.lt is None or value < limits.lt,
    }
    for words, holds in kept.items():
        if not holds:
            raise UsageError(f"{where} must be {words}, got {value}")
