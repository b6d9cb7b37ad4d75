"""What a person sees while a run works: lines and progress bars, on stderr or in the notebook.

Data goes to stdout, so that `hwnas ... --json | jq` works whatever is logged here.
"""

from __future__ import annotations

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

    def expect(self, total: int, rest_s: float) -> None:
        """From now on `total`, and so many seconds of the run after it."""
        ...


class Log:
    """Lines with the elapsed time, and progress with the time left; `quiet` leaves only warnings."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False, clock: Clock = time.monotonic):
        self._stream = stream
        self._quiet = quiet
        self._clock = clock
        self._start_s = self._line_s = clock()
        self._bars: list[_Bar] = []

    @property
    def stream(self) -> TextIO:
        """Where lines go; looked up late, because test runners and shells replace `sys.stderr`."""
        return self._stream or sys.stderr

    def __call__(self, text: str) -> None:
        """One line for the user, unless quiet."""
        if not self._quiet:
            self._print(text)

    def warn(self, text: str) -> None:
        """One line that is shown even when quiet."""
        self._print(f"warning: {text}")

    @contextmanager
    def progress(
        self, name: str, total: int, rest_s: float = 0.0, *, limit_s: float | None = None
    ) -> Iterator[ProgressBar]:
        """A bar with the time left on a terminal or in a notebook, else a line every 15 s.

        rest_s: what the run is expected to take after it. limit_s: what it takes itself at most, done or not.
        """
        if self._quiet:
            yield _Silent()
        elif (self.stream.isatty() or shows_widgets()) and not self._bars:
            with _Bar(self.stream, name, total, rest_s, limit_s) as bar:
                self._bars.append(bar)
                try:
                    yield bar
                finally:
                    self._bars.remove(bar)
        else:
            yield _Lines(self, name, total, rest_s, limit_s, self._clock)

    @property
    def silent_s(self) -> float:
        """Seconds since the last line."""
        return self._clock() - self._line_s

    def _print(self, text: str) -> None:
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

    def __init__(self, log: Log, name: str, total: int, rest_s: float, limit_s: float | None, clock: Clock):
        self._rest_s, self._limit_s = rest_s, limit_s
        self._log, self._name, self._total, self._clock = log, name, total, clock
        self._done = self._before = 0
        self._start_s = clock()

    def advance(self, n: int = 1, note: str = "") -> None:
        now_s = self._clock()
        if self._done == 0 and now_s - self._start_s < 0.1:
            self._before = n  # done before a resume: no rate follows from it
        first = self._done == 0
        self._done += n
        if first or self._done == self._before or self._done >= self._total:
            return
        if self._log.silent_s < LINE_EVERY_S:
            return
        left_s = (now_s - self._start_s) / (self._done - self._before) * (self._total - self._done)
        said = "about"
        if self._limit_s is not None and (most_s := self._limit_s - (now_s - self._start_s)) < left_s:
            said, left_s = "at most", max(most_s, 0.0)
        text = f"{self._name}: {self._done}/{self._total}, {said} {duration(left_s)} left"
        if self._rest_s:
            text += f" ({duration(left_s + self._rest_s)} to the end of the run)"
        self._log(f"{text}, {note}" if note else text)

    def expect(self, total: int, rest_s: float) -> None:
        self._total, self._rest_s = total, rest_s


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
            TextColumn("{task.fields[rest]}"),
            TextColumn("{task.fields[note]}"),
            console=Console(file=stream),
            transient=True,
        )
        self._task = self._rich.add_task(name, total=total, note="", rest=_then(rest_s))

    def __enter__(self) -> _Bar:
        self._rich.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._rich.stop()

    def advance(self, n: int = 1, note: str = "") -> None:
        self._rich.update(self._task, advance=n, note=note)

    def expect(self, total: int, rest_s: float) -> None:
        self._rich.update(self._task, total=total, rest=_then(rest_s))

    def print(self, line: str) -> None:
        self._rich.console.print(line, markup=False, highlight=False, soft_wrap=True)


def _then(rest_s: float) -> str:
    return f"then about {duration(rest_s)}" if rest_s else ""
