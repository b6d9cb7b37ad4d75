"""Whose turn it is: jobs on a device, and the work of this machine for several devices.

**A device has one job at a time**, of whatever process: `device_lock` waits for the kernel's lock on a file
that is named for where the device is, not for what its target is called.

**This machine works for one device at a time** where several are measured side by side. Each has a thread,
and only the thread whose turn it is exports networks, fits or writes; it lends its turn while its device
works. So nothing here has to be safe in threads, and where the device is this machine, which keeps its turn,
nothing disturbs it.
"""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from targets import Target
from targets.connect import device_key
from targets.files import safe_name
from targets.holder import read_holder, write_holder

from .callbacks import LogCallback

_POLL_S = 0.1


class _Mine(threading.local):
    """Of a thread. turn: whose owner works, None where it works alone; waited_s: for turns and devices."""

    turn: threading.Lock | None = None
    waited_s: float = 0.0


_mine = _Mine()


@contextmanager
def taking_turns(turn: threading.Lock) -> Iterator[None]:
    """This thread works while it has `turn`; `lent` gives it away meanwhile."""
    with turn:
        _mine.turn = turn
        try:
            yield
        finally:
            _mine.turn = None


@contextmanager
def lent(target: Target) -> Iterator[None]:
    """Others may work while this device does; the turn is kept where the device is this machine."""
    if target.reach.transport == "local":
        yield
        return
    with _away():
        yield


@contextmanager
def _away() -> Iterator[None]:
    turn = _mine.turn
    if turn is None:
        yield
        return
    turn.release()
    try:
        yield
    finally:
        began_s = time.monotonic()
        turn.acquire()
        _mine.waited_s += time.monotonic() - began_s


def own_time_s() -> float:
    """A clock that stands still while this thread waits for its turn or for a device."""
    return time.monotonic() - _mine.waited_s


@contextmanager
def device_lock(
    target: Target, log: LogCallback, sleep: Callable[[float], None] = time.sleep
) -> Iterator[None]:
    """The only job on the device. Waits for another one to end, and then tells `log` who has the device.

    Where no lock can be written, the job runs without one, and `log` hears of it.
    """
    path = locks_folder() / f"{safe_name(device_key(target))}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.open("a+", encoding="utf-8")
    except OSError as error:
        log(f"{path} cannot be written ({error.strerror}): nothing keeps another job off {target.name}")
        yield
        return
    with opened as file:
        own_s = own_time_s()
        with _away():
            _acquire(file, target, log, sleep)
        _mine.waited_s += own_time_s() - own_s
        try:
            write_holder(file)
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # a process that was forked meanwhile may have the file open


def locks_folder() -> Path:
    """Where all processes of this user find the locks."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("hwnas", appauthor=False)) / "devices"


def _acquire(file: IO[str], target: Target, log: LogCallback, sleep: Callable[[float], None]) -> None:
    waits = False
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not waits:
                holder = read_holder(file)
                log(f"target {target.name}: {target.reach.address} is measured by {holder}; waiting")
            waits = True
            sleep(_POLL_S)
