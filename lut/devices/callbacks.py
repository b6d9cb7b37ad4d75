"""What a caller hands in: functions, so that any log and any progress bar fit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

LogCallback = Callable[[str], None]
"""Takes one line of text."""


class ProgressCallback(Protocol):
    """Opens the progress of a work: a context manager whose value has `advance()`."""

    def __call__(self, name: str, total: int, *, limit_s: float | None = None) -> AbstractContextManager[Any]:
        """limit_s: what the work takes at most, done or not."""
        ...


class _Silent:
    def advance(self, *_: object) -> None:
        pass


def opened(
    progress: ProgressCallback | None, name: str, total: int, limit_s: float | None = None
) -> AbstractContextManager[Any]:
    """The progress of a work; where nobody wants to be told, one that nobody sees."""
    return nullcontext(_Silent()) if progress is None else progress(name, total, limit_s=limit_s)


SleepCallback = Callable[[float], None]
"""Waits for so many seconds."""
