"""How to go on with what a signal interrupts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_ways: list[str] = []


@contextmanager
def resumable(way: str) -> Iterator[None]:
    """Work that can be gone on with, the way of doing which is told when Ctrl-C or SIGTERM ends it."""
    _ways.append(way)
    try:
        yield
    except Exception:  # raised again: only what a signal ends keeps its way
        _ways.pop()
        raise
    _ways.pop()


def way_on() -> str:
    """How to go on with what was interrupted last; empty where nothing was."""
    return _ways[-1] if _ways else ""
