"""The check of a description when it is read: known names, exact types."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .errors import UsageError, did_you_mean

_NAMES = {"int": "a whole number", "bool": "true or false", "str": "a text in quotes"}


def check_types(cls: type, values: Mapping[str, Any]) -> None:
    """UsageError when a value belongs to no field of the dataclass, or is not exactly of the field's type.

    The type must be exact because Python counts a bool as an int. Only fields of the types int, bool and str
    are checked.
    """
    fields = {f.name: str(f.type) for f in dataclasses.fields(cls)}
    for key, value in values.items():
        if key not in fields:
            raise UsageError(f"unknown key {key!r}; {did_you_mean(str(key), fields)}")
        kind = fields[key]
        if kind in _NAMES and type(value).__name__ != kind:
            raise UsageError(f"{key} must be {_NAMES[kind]}, got {value!r}")
