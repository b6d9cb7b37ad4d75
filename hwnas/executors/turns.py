"""Many work side by side, or one alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Whoever wants to be alone goes before those who begin later.

    wanted_alone: how many are alone, or wait for it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._beside, self.wanted_alone = 0, 0
        self._is_alone = False

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Beside others, once nobody is alone or waits for it."""
        with self._changed:
            self._changed.wait_for(lambda: not self.wanted_alone)
            self._beside += 1
        try:
            yield
        finally:
            with self._changed:
                self._beside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Alone, once all others are done."""
        with self._changed:
            self.wanted_alone += 1
            self._changed.wait_for(lambda: not self._beside and not self._is_alone)
            self._is_alone = True
        try:
            yield
        finally:
            with self._changed:
                self.wanted_alone -= 1
                self._is_alone = False
                self._changed.notify_all()
