"""What a caller hands in: functions, so that any log and any progress bar fit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

LogCallback = Callable[[str], None]
"""Takes one line of text."""


class ProgressCallback(Protocol):
    """Opens the progress of a work: a context manager whose value has `advance()`."""

    def __call__(self, name: str, total: int, *, limit_s: float | None = None) -> AbstractContextManager[Any]:
        """limit_s: what the work takes at most, done or not."""
        ...


SleepCallback = Callable[[float], None]
"""Waits for so many seconds."""
