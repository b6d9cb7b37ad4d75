"""How to go on with what a signal interrupts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

ways: list[str] = []


@contextmanager
def resumable(way: str) -> Iterator[None]:
    """Work that can be gone on with, the way of doing which is told when Ctrl-C or SIGTERM ends it."""
    ways.append(way)
    try:
        yield
    except Exception:  # raised again: only what a signal ends keeps its way
        ways.pop()
        raise
    ways.pop()


def way_on() -> str:
    """How to go on with what was interrupted last; empty where nothing was."""
    return ways[-1] if ways else ""
