"""A sign of life during one long call that tells nothing of its own progress."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY_S = 15.0


@contextmanager
def heartbeat(log: Callable[[str], None], what: str, every_s: float = EVERY_S) -> Iterator[None]:
    """Log `what` with the seconds since the beginning, every `every_s` of them, until the block is left.

    what: `fitting the SVC`.
    """
    ended = threading.Event()

    def beat() -> None:
        beats = 0
        while not ended.wait(every_s):
            beats += 1
            log(f"{what}: {beats * every_s:.0f} s so far")

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
