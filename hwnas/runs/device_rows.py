"""What a person sees of several devices that work side by side: a row for each, on stderr.

On a terminal the rows are drawn again and again; elsewhere all of them are written now and then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from lut.devices.side_by_side import DeviceWork, StoppedError, side_by_side
from targets import Target
from targets.errors import HwnasError

from .log import LINE_EVERY_S, Log, ProgressBar, how_far
from .pace import Clock, Pace

T = TypeVar("T")


class DeviceLog(Log):
    """The log of the work on one device: its lines have the device's name, its progress is a row."""

    def __init__(self, log: Log, name: str, clock: Clock = time.monotonic) -> None:
        super().__init__(quiet=log.is_quiet, clock=clock)
        self.name, self._log, self._clock = name, log, clock
        self._state, self._stopped = "waits for its turn", False
        self._pace: Pace | None = None
        self._limit_s: float | None = None
        self.n_done = 0

    @property
    def state(self) -> str:
        """The row."""
        return self._state if self._pace is None else f"{self._state} {how_far(self._pace, self._limit_s)}"

    def note(self, state: str) -> None:
        """Show this instead of a progress, and say it in a line."""
        self._state, self._pace = state, None
        self._log(f"{self.name}: {state}")

    def stop(self) -> None:
        """From now on no callback returns."""
        self._stopped = True

    def advance(self, n: int = 1, note: str = "") -> None:
        """`n` more are measured."""
        self._end_if_stopped()
        self.n_done += n
        if self._pace is not None:
            self._pace.advance(n)

    def expect(self, total: int, rest_s: float) -> None:
        """From now on `total`."""
        if self._pace is not None:
            self._pace.total = total

    @contextmanager
    def progress(
        self,
        name: str,
        total: int,
        rest_s: float = 0.0,
        *,
        limit_s: float | None = None,
        forecast_s: float | None = None,
    ) -> Iterator[ProgressBar]:
        """The row shows it."""
        self._end_if_stopped()
        self._limit_s, self._pace = limit_s, Pace(total, self._clock, forecast_s)
        self._state = name
        yield self
        self._state, self._pace = "works", None

    def line(self, text: str) -> None:
        """A line of the whole log, with the device's name."""
        self._end_if_stopped()
        self._log.line(f"{self.name}: {text}")

    def _end_if_stopped(self) -> None:
        if self._stopped:
            raise StoppedError


def on_devices(
    devices: Sequence[tuple[str, Target]], do: Callable[[int, Log], T], log: Log, **more: Any
) -> list[T | HwnasError]:
    """The result of `do(place, log)` on each device, or the error for which it has none; side by side.

    devices: name and target, in order. more: for `side_by_side`.
    """
    if len(devices) < 2:
        return [_attempt(_bound(do, place, log)) for place in range(len(devices))]
    rows = [DeviceLog(log, name) for name, _ in devices]
    works = [
        DeviceWork(target, row, _bound(do, place, row))
        for place, (row, (_, target)) in enumerate(zip(rows, devices, strict=True))
    ]
    with _table(rows, log) as draw:
        return side_by_side(works, tick=draw, **more)


def all_of(devices: Sequence[tuple[str, Target]], outcomes: Sequence[T | HwnasError], kept: str) -> list[T]:
    """The results; the first error, in whose words all stand, where a device has none.

    kept: what becomes of the results of the others, for the message.
    """
    errors = [outcome for outcome in outcomes if isinstance(outcome, HwnasError)]
    if not errors:
        return [outcome for outcome in outcomes if not isinstance(outcome, HwnasError)]
    if len(devices) == 1:
        raise errors[0]
    said = " ".join(f"{str(error).rstrip('.')}." for error in errors)
    raise type(errors[0])(f"{len(errors)} of {len(devices)} devices failed. {said} {kept}")


def _bound(do: Callable[[int, Log], T], place: int, row: Log) -> Callable[[], T]:
    return lambda: do(place, row)


def _attempt(do: Callable[[], T]) -> T | HwnasError:
    try:
        return do()
    except HwnasError as error:
        return error


@contextmanager
def _table(rows: Sequence[DeviceLog], log: Log) -> Iterator[Callable[[], None]]:
    if log.draws:
        with _Drawn(rows, log) as drawn, log.drawn(drawn):
            yield drawn.draw
    else:
        yield _Written(rows, log).draw


class _Written:
    """The rows as lines, every `LINE_EVERY_S`."""

    def __init__(self, rows: Sequence[DeviceLog], log: Log, clock: Clock = time.monotonic) -> None:
        self._rows, self._log, self._clock = rows, log, clock
        self._written_s = clock()
        self._width = max(len(row.name) for row in rows)

    def draw(self) -> None:
        if self._clock() - self._written_s < LINE_EVERY_S:
            return
        self._written_s = self._clock()
        for row in self._rows:
            self._log(f"{row.name:<{self._width}}  {row.state}")


class _Drawn:
    """The rows at the foot of a terminal; a context manager."""

    def __init__(self, rows: Sequence[DeviceLog], log: Log) -> None:
        from rich.console import Console
        from rich.live import Live

        self._rows = rows
        self._live = Live(console=Console(file=log.stream), transient=True, auto_refresh=False)

    def __enter__(self) -> _Drawn:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def draw(self) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        for row in self._rows:
            table.add_row(Text(row.name), Text(row.state, overflow="ellipsis"))
        self._live.update(table, refresh=True)

    def print(self, line: str) -> None:
        self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)
