"""When a connection breaks: try again a few times, keep what is measured, say how to go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from targets.errors import ConnectionLostError

from .callbacks import LogCallback, SleepCallback

PAUSES_S = (2.0, 10.0, 30.0)
"""Seconds before each new try; the last is about what a small board needs to boot."""


def retry_when_lost(
    action: Callable[[], None],
    n_known: Callable[[], int],
    kept_in: Path,
    log: LogCallback,
    sleep: SleepCallback,
) -> None:
    """Run `action` again, after a pause, each time the connection is lost.

    ConnectionLostError after the last try.

    action: what to do; it goes on where it stopped.
    n_known: number of measurements so far; whenever it has grown, the tries are counted anew.
    kept_in: the folder of these measurements, for the message.
    log: told of every lost connection.
    sleep: waits.
    """
    pauses = iter(PAUSES_S)
    while True:
        before = n_known()
        try:
            return action()
        except ConnectionLostError as error:
            if n_known() > before:
                pauses = iter(PAUSES_S)
            pause = next(pauses, None)
            if pause is None:
                raise ConnectionLostError(
                    f"{error} Given up after {len(PAUSES_S)} more tries; {n_known()} measurements are kept "
                    f"in {kept_in}, and the same command goes on from there"
                ) from None
            log(f"{error} Trying again in {pause:.0f} s")
            sleep(pause)
