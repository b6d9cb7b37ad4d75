"""What a caller hands in: functions, so that any log and any progress bar fit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

LogCallback = Callable[[str], None]
"""Takes one line of text."""

ProgressCallback = Callable[[str, int], AbstractContextManager[Any]]
"""(name, total) -> a context manager whose value has `advance()`."""

SleepCallback = Callable[[float], None]
"""Waits for so many seconds."""
