"""Work on several devices side by side: a queue for each device, whose jobs come one after the other.

A device that goes away pauses its queue and is asked again, after longer and longer pauses; the others go on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from targets import Target
from targets.connect import device_key
from targets.errors import ConnectionLostError, HwnasError

from .device import open_device
from .turns import taking_turns

PAUSES_S = (10.0, 30.0, 60.0, 120.0)
"""Before a device that is away is asked again. The last is repeated while other devices are at work."""

TICK_S, END_S = 0.2, 5.0

T = TypeVar("T")


class StoppedError(Exception):
    """All work ends: somebody pressed Ctrl-C, or other work met a bug."""


class WorkRow(Protocol):
    """What is seen of one work. Its callbacks should raise StoppedError once it is stopped."""

    @property
    def n_done(self) -> int:
        """Measurements so far."""
        ...

    def note(self, state: str) -> None:
        """Show what becomes of the work, other than measurements."""
        ...

    def stop(self) -> None:
        """From now on no callback returns."""
        ...


@dataclass(frozen=True, slots=True)
class DeviceWork(Generic[T]):
    """Work that measures on one device.

    target: the device.
    row: what is seen of it.
    do: the work; what is measured stays, so that doing it again goes on. `WorkRow` has its callbacks.
    """

    target: Target
    row: WorkRow
    do: Callable[[], T]


@dataclass(slots=True)
class _Run(Generic[T]):
    """All that the threads share."""

    pauses_s: Sequence[float]
    turn: threading.Lock = field(default_factory=threading.Lock)
    stopped: threading.Event = field(default_factory=threading.Event)
    outcomes: dict[int, T | HwnasError] = field(default_factory=dict)
    bugs: list[BaseException] = field(default_factory=list)
    at_work: set[str] = field(default_factory=set)


def side_by_side(
    works: Sequence[DeviceWork[T]],
    *,
    tick: Callable[[], None] = lambda: None,
    pauses_s: Sequence[float] = PAUSES_S,
) -> list[T | HwnasError]:
    """The result of each work, or the error for which it has none.

    The work of targets that are one device is done in its order. A lone device that goes away has failed; one
    of several is asked again as long as others are at work, and after each of `pauses_s` in any case.

    tick: called several times a second meanwhile.
    """
    queues: dict[str, list[int]] = {}
    for number, work in enumerate(works):
        queues.setdefault(device_key(work.target), []).append(number)
    run = _Run[T](pauses_s if len(queues) > 1 else ())
    run.at_work.update(queues)
    threads = [
        threading.Thread(target=_serve, args=(run, works, key, numbers), daemon=True)
        for key, numbers in queues.items()
    ]
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads) and not run.bugs:
            tick()
            run.stopped.wait(TICK_S)
        if run.bugs:
            raise run.bugs[0]
    except BaseException:  # raised again, once what was begun has been told to end
        run.stopped.set()
        for work in works:
            work.row.stop()
        for thread in threads:
            thread.join(END_S)
        raise
    return [run.outcomes[number] for number in range(len(works))]


def _serve(run: _Run[T], works: Sequence[DeviceWork[T]], key: str, numbers: Sequence[int]) -> None:
    """The thread of a device. What cannot be reached any more ends the rest of its queue too."""
    try:
        away: ConnectionLostError | None = None
        for number in numbers:
            if away is None:
                outcome = _outcome(run, works[number], key)
            run.outcomes[number] = outcome  # of one that is away that of the work before
            works[number].row.note(_briefly(outcome) if isinstance(outcome, HwnasError) else "done")
            away = outcome if isinstance(outcome, ConnectionLostError) else None
    except StoppedError:
        pass
    except BaseException as bug:  # the edge of the thread: who waits for it raises it
        run.bugs.append(bug)
    finally:
        run.at_work.discard(key)


def _briefly(error: HwnasError) -> str:
    """The first sentence: who asked for the work is told all of it at the end."""
    return f"failed: {str(error).partition('. ')[0].partition('; ')[0].rstrip('.')}"


def _outcome(run: _Run[T], work: DeviceWork[T], key: str) -> T | HwnasError:
    """Of the work, which goes on whenever its device is there again."""
    pauses = iter(run.pauses_s)
    while True:
        before = work.row.n_done
        try:
            with taking_turns(run.turn):
                return work.do()
        except ConnectionLostError as error:
            if work.row.n_done > before:
                pauses = iter(run.pauses_s)
            if not _came_back(run, work, key, pauses):
                return error
        except HwnasError as error:
            return error


def _came_back(run: _Run[T], work: DeviceWork[T], key: str, pauses: Iterator[float]) -> bool:
    """Whether the device answers again, asked after each pause."""
    run.at_work.discard(key)
    while True:
        pause_s = next(pauses, None)
        if pause_s is None and (not run.at_work or not run.pauses_s):
            return False
        pause_s = run.pauses_s[-1] if pause_s is None else pause_s
        work.row.note(f"away, is asked again in {pause_s:.0f} s")
        if run.stopped.wait(pause_s):
            raise StoppedError
        try:
            open_device(work.target, _unheard).contact()
        except ConnectionLostError:
            continue
        except HwnasError:  # it answers, and the work will say what is wrong
            pass
        run.at_work.add(key)
        work.row.note("is back")
        return True


def _unheard(text: str) -> None:
    """For a question that is asked once."""
