"""What a person sees while a run works: lines and progress bars, on stderr or in the notebook.

Data goes to stdout, so that `hwnas ... --json | jq` works whatever is logged here.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

Clock = Callable[[], float]

# Without a terminal (CI, a file) a line now and then says that the work goes on.
LINE_EVERY_S = 15.0


class ProgressBar(Protocol):
    """What a long loop is given to report to."""

    def advance(self, n: int = 1, note: str = "") -> None:
        """`n` more of the total are done; `note` is shown beside the bar."""
        ...


class DrawnBar(Protocol):
    """What is drawn at the foot of a terminal."""

    def print(self, line: str) -> None:
        """A line above it."""
        ...


class Log:
    """Lines with the elapsed time, and progress with the time left; `quiet` leaves only warnings."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False, clock: Clock = time.monotonic):
        self._stream = stream
        self._quiet = quiet
        self._clock = clock
        self._start_s = self._line_s = clock()
        self._bars: list[DrawnBar] = []

    @property
    def stream(self) -> TextIO:
        """Where lines go; looked up late, because test runners and shells replace `sys.stderr`."""
        return self._stream or sys.stderr

    def __call__(self, text: str) -> None:
        """One line for the user, unless quiet."""
        if not self._quiet:
            self.line(text)

    def warn(self, text: str) -> None:
        """One line that is shown even when quiet."""
        self.line(f"warning: {text}")

    @contextmanager
    def progress(
        self, name: str, total: int, rest_s: float = 0.0, *, limit_s: float | None = None
    ) -> Iterator[ProgressBar]:
        """A bar with the time left on a terminal or in a notebook, else a line every 15 s.

        rest_s: what the run is expected to take after it. limit_s: what it takes itself at most, done or not.
        """
        if self._quiet:
            yield _Silent()
        elif self.draws:
            with _Bar(self.stream, name, total, rest_s, limit_s) as bar, self.drawn(bar):
                yield bar
        else:
            yield _Lines(self, name, total, rest_s, limit_s, self._clock)

    @property
    def silent_s(self) -> float:
        """Seconds since the last line."""
        return self._clock() - self._line_s

    @contextmanager
    def drawn(self, bar: DrawnBar) -> Iterator[None]:
        """Lines go above what is drawn at the foot of the terminal meanwhile."""
        self._bars.append(bar)
        try:
            yield
        finally:
            self._bars.remove(bar)

    @property
    def draws(self) -> bool:
        """Whether there is a place for bars, and none of them in it yet."""
        return not self._quiet and (self.stream.isatty() or shows_widgets()) and not self._bars

    @property
    def is_quiet(self) -> bool:
        """Whether only warnings are shown."""
        return self._quiet

    def line(self, text: str) -> None:
        """A line with the elapsed time, quiet or not."""
        self._line_s = self._clock()
        line = f"[{duration(self._clock() - self._start_s):>6}] {text}"
        if self._bars:
            self._bars[-1].print(line)
        else:
            print(line, file=self.stream, flush=True)


def shows_widgets() -> bool:
    """Whether this is a notebook that draws bars; rich draws them through ipywidgets."""
    if "IPython" not in sys.modules or find_spec("ipywidgets") is None:
        return False
    from rich.console import Console

    return Console().is_jupyter


def duration(seconds: float) -> str:
    """`8s`, `3m20s`, `1h05m`: short enough for a column."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


class _Silent:
    """Progress of a quiet run."""

    def advance(self, n: int = 1, note: str = "") -> None:
        pass


class _Lines:
    """Progress where no bar can be drawn."""

    def __init__(self, log: Log, name: str, total: int, rest_s: float, limit_s: float | None, clock: Clock):
        self._rest_s, self._log, self._name = rest_s, log, name
        self._pace = Pace(total, limit_s, clock)

    def advance(self, n: int = 1, note: str = "") -> None:
        pace = self._pace
        first = pace.done == 0
        pace.advance(n)
        if first or not pace.is_known or pace.done >= pace.total:
            return
        if self._log.silent_s < LINE_EVERY_S:
            return
        text = f"{self._name}: {pace}"
        if self._rest_s:
            text += f" ({duration(pace.left_s + self._rest_s)} to the end of the run)"
        self._log(f"{text}, {note}" if note else text)


class Pace:
    """How far a work is, and how long it still takes. limit_s: what it takes at most, done or not."""

    def __init__(self, total: int, limit_s: float | None, clock: Clock = time.monotonic) -> None:
        self.total, self._limit_s, self._clock = total, limit_s, clock
        self.done = self._before = 0
        self._start_s = self._now_s = clock()

    def advance(self, n: int = 1) -> None:
        """`n` more are done."""
        self._now_s = self._clock()
        if self.done == 0 and self._now_s - self._start_s < 0.1:
            self._before = n  # done before a resume: no rate follows from it
        self.done += n

    @property
    def is_known(self) -> bool:
        """Whether there is a rate."""
        return self.done > self._before

    @property
    def left_s(self) -> float:
        """Seconds until the end."""
        return min(self._by_rate_s, self._most_s)

    @property
    def _by_rate_s(self) -> float:
        return (self._now_s - self._start_s) / (self.done - self._before) * (self.total - self.done)

    @property
    def _most_s(self) -> float:
        spent_s = self._now_s - self._start_s
        return math.inf if self._limit_s is None else max(self._limit_s - spent_s, 0.0)

    def __str__(self) -> str:
        if not self.is_known:
            return f"{self.done}/{self.total}"
        said = "at most" if self._most_s < self._by_rate_s else "about"
        return f"{self.done}/{self.total}, {said} {duration(self.left_s)} left"


def _time_left(limit_s: float | None) -> ProgressColumn:
    """The column of a bar with the time left, which is no longer than the limit."""
    from rich.progress import Task, TimeRemainingColumn
    from rich.text import Text

    class TimeLeft(TimeRemainingColumn):
        def render(self, task: Task) -> Text:
            most_s = None if limit_s is None else max(limit_s - (task.elapsed or 0.0), 0.0)
            left_s = task.time_remaining
            if most_s is None or task.finished or (left_s is not None and left_s <= most_s):
                return super().render(task)
            return Text(f"at most {duration(most_s)}", style="progress.remaining")

    return TimeLeft(compact=True, elapsed_when_finished=True)


class _Bar:
    """A rich progress bar; NO_COLOR is obeyed by rich itself."""

    def __init__(self, stream: TextIO, name: str, total: int, rest_s: float, limit_s: float | None):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._rich = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _time_left(limit_s),
            TextColumn(f"then about {duration(rest_s)}" if rest_s else ""),
            TextColumn("{task.fields[note]}"),
            console=Console(file=stream),
            transient=True,
        )
        self._task = self._rich.add_task(name, total=total, note="")

    def __enter__(self) -> _Bar:
        self._rich.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._rich.stop()

    def advance(self, n: int = 1, note: str = "") -> None:
        self._rich.update(self._task, advance=n, note=note)

    def print(self, line: str) -> None:
        self._rich.console.print(line, markup=False, highlight=False, soft_wrap=True)
