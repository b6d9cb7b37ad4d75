"""What a person sees while a run works: lines and progress bars, on stderr or in the notebook.

Data goes to stdout, so that `hwnas ... --json | jq` works whatever is logged here.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, TextIO

from .pace import Clock, Pace

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

# Without a terminal (CI, a file) a line now and then says that the work goes on.
LINE_EVERY_S = 15.0


class ProgressBar(Protocol):
    """What a long loop is given to report to."""

    def advance(self, n: int = 1, note: str = "") -> None:
        """`n` more of the total are done; `note` is shown beside the bar."""
        ...

    def expect(self, total: int, rest_s: float) -> None:
        """From now on `total`, and so many seconds of the run after it."""
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
        self,
        name: str,
        total: int,
        rest_s: float = 0.0,
        *,
        limit_s: float | None = None,
        forecast_s: float | None = None,
    ) -> Iterator[ProgressBar]:
        """A bar with the time left on a terminal or in a notebook, else a line every 15 s.

        rest_s: what the run is expected to take after it. limit_s: what it takes itself at most, done or not.
        forecast_s: what it is expected to take itself.
        """
        pace = Pace(total, self._clock, forecast_s)
        if self._quiet:
            yield _Silent()
        elif self.draws:
            with _Bar(self.stream, name, pace, rest_s, limit_s) as bar, self.drawn(bar):
                yield bar
        else:
            yield _Lines(self, name, pace, rest_s, limit_s)

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

    def expect(self, total: int, rest_s: float) -> None:
        pass


class _Lines:
    """Progress where no bar can be drawn."""

    def __init__(self, log: Log, name: str, pace: Pace, rest_s: float, limit_s: float | None):
        self._log, self._name, self._pace = log, name, pace
        self._rest_s, self._limit_s = rest_s, limit_s

    def advance(self, n: int = 1, note: str = "") -> None:
        pace = self._pace
        first = pace.done == 0
        pace.advance(n)
        left_s = pace.left_s()
        if first or left_s is None or pace.done >= pace.total or self._log.silent_s < LINE_EVERY_S:
            return
        text = f"{self._name}: {how_far(pace, self._limit_s)}"
        left_s = left_s if self._limit_s is None else min(left_s, max(self._limit_s - pace.elapsed_s, 0.0))
        if self._rest_s:
            text += f" ({duration(left_s + self._rest_s)} to the end of the run)"
        self._log(f"{text}, {note}" if note else text)

    def expect(self, total: int, rest_s: float) -> None:
        self._pace.total, self._rest_s = total, rest_s


def how_far(pace: Pace, limit_s: float | None) -> str:
    """`3/20, about 36s left`; `at most` where the limit comes first, and no time where none is known."""
    left_s = pace.left_s()
    if left_s is None:
        return f"{pace.done}/{pace.total}"
    said = "about"
    if limit_s is not None and (most_s := limit_s - pace.elapsed_s) < left_s:
        said, left_s = "at most", max(most_s, 0.0)
    return f"{pace.done}/{pace.total}, {said} {duration(left_s)} left"


def _time_left(pace: Pace, limit_s: float | None) -> ProgressColumn:
    """The column of a bar with the time left, no longer than the limit; at the end the time taken."""
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class TimeLeft(ProgressColumn):
        max_refresh = 0.5  # seconds between two looks

        def render(self, task: Task) -> Text:
            if task.finished:
                return Text(duration(pace.elapsed_s), style="progress.elapsed")
            left_s = pace.left_s()
            most_s = None if limit_s is None else max(limit_s - pace.elapsed_s, 0.0)
            if most_s is not None and (left_s is None or most_s < left_s):
                return Text(f"at most {duration(most_s)}", style="progress.remaining")
            return Text("-" if left_s is None else duration(left_s), style="progress.remaining")

    return TimeLeft()


class _Bar:
    """A rich progress bar; NO_COLOR is obeyed by rich itself."""

    def __init__(self, stream: TextIO, name: str, pace: Pace, rest_s: float, limit_s: float | None):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._pace = pace
        self._rich = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _time_left(pace, limit_s),
            TextColumn("{task.fields[rest]}"),
            TextColumn("{task.fields[note]}"),
            console=Console(file=stream),
            transient=True,
        )
        self._task = self._rich.add_task(name, total=pace.total, note="", rest=_then(rest_s))

    def __enter__(self) -> _Bar:
        self._rich.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._rich.stop()

    def advance(self, n: int = 1, note: str = "") -> None:
        self._pace.advance(n)
        self._rich.update(self._task, advance=n, note=note)

    def expect(self, total: int, rest_s: float) -> None:
        self._pace.total = total
        self._rich.update(self._task, total=total, rest=_then(rest_s))

    def print(self, line: str) -> None:
        self._rich.console.print(line, markup=False, highlight=False, soft_wrap=True)


def _then(rest_s: float) -> str:
    return f"then about {duration(rest_s)}" if rest_s else ""
