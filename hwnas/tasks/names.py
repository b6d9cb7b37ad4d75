"""The names of the objective: inside `accuracy` stands for it, and files carry the word of the task.

So a front of a regression has the columns `val_r2` and `test_r2`. Both functions take documents of JSON
values and change keys, and those texts that are names of objectives.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .task import Task

_INSIDE = "accuracy"
_OBJECTIVE = re.compile(r"(val|test)_[a-z0-9]+")


def outward(value: Any, task: Task) -> Any:
    """The document with the metric of the task in its names."""
    return _renamed(value, _INSIDE, task.metric.name)


def inward(value: Any, task: Task) -> Any:
    """The inverse of `outward`."""
    return _renamed(value, task.metric.name, _INSIDE)


def _renamed(value: Any, before: str, after: str) -> Any:
    if before == after:
        return value
    if isinstance(value, Mapping):
        return {_name(key, before, after): _renamed(entry, before, after) for key, entry in value.items()}
    if isinstance(value, list):
        return [_renamed(entry, before, after) for entry in value]
    if isinstance(value, str) and _OBJECTIVE.fullmatch(value):
        return _name(value, before, after)
    return value


def _name(key: Any, before: str, after: str) -> Any:
    """`val_map_search` of `val_accuracy_search`: the word between underscores, whole."""
    if not isinstance(key, str):
        return key
    return "_".join(after if part == before else part for part in key.split("_"))
