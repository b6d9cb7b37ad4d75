"""What the type of an option allows, in words for a message, and the message itself."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Interval, Len

from .definition import ReadAs


def refusal(name: str, value: Any, hint: Any) -> str:
    """Why an option cannot have a value, in one line.

    name: of the option as its user wrote it. hint: its type, with Interval, Len and ReadAs.

    >>> refusal("--evaluations", 0, Annotated[int, Interval(ge=1, le=10_000_000)])
    '--evaluations is 0; allowed: 1 to 10,000,000'
    >>> refusal("seed", 1.5, Annotated[int, Interval(ge=0)])
    'seed is 1.5; allowed: whole numbers from 0'
    """
    shown = repr(value)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    return f"{name} is {shown}; allowed: {_words(hint, value)}"


def _words(hint: Any, value: Any, limits: Interval | Len | None = None) -> str:
    """Of a type inside others, with the nearest limits around it."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        read_as = [extra for extra in hint.__metadata__ if isinstance(extra, ReadAs)]
        if read_as and read_as[0].words:
            return read_as[0].words
        stated = [extra for extra in hint.__metadata__ if isinstance(extra, (Interval, Len))]
        inner = read_as[0].kind if read_as else parts[0]
        return _words(inner, value, stated[-1] if stated else limits)
    if origin in (Union, UnionType):
        return _words(next(part for part in parts if part is not NoneType), value, limits)
    if origin is Literal:
        return " or ".join(parts)
    if hint is bool:
        return "true or false"
    if isinstance(limits, Interval):
        return f"{'' if _is_of(hint, value) else _NUMBERS[hint]}{_range(limits)}"
    size = f"{limits.min_length} to {limits.max_length:,}" if isinstance(limits, Len) else "any number of"
    return f"a list of {size}, each {_words(parts[0], '')}" if origin is tuple else f"{size} characters"


_NUMBERS = {int: "whole numbers ", float: "numbers "}
"""Said where something else was given."""


def _is_of(kind: type, value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int if kind is int else (int, float))


def _range(limits: Interval) -> str:
    least = f"{limits.ge:,}" if limits.ge is not None else f"above {limits.gt:,}"
    if limits.lt is not None:
        return f"{least} and below {limits.lt:,}"
    if limits.le is None:
        return f"from {least}"
    return f"{least} to {limits.le:,}"
