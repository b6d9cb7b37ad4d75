"""What a person sees: lines on stderr, bars on a terminal only, the time left without one."""

import builtins
import io
import sys
import types

import pytest

from hwnas.runs.log import Log, duration, shows_widgets


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (-3, "0s"), (59.4, "59s"), (59.6, "1m00s"), (200, "3m20s"), (3900, "1h05m")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_lines_carry_the_elapsed_time() -> None:
    clock, out = Clock(), io.StringIO()
    log = Log(out, clock=clock)
    clock.now_s = 75.0
    log("budgets [fixed]")
    log.warn("careful")
    assert out.getvalue() == "[ 1m15s] budgets [fixed]\n[ 1m15s] warning: careful\n"


def test_default_stream_is_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    Log()("hello")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("hello\n")


def test_quiet_leaves_warnings() -> None:
    out = Terminal()
    log = Log(out, quiet=True)
    log("hello")
    with log.progress("train", 3) as bar:
        bar.advance(3)
    assert out.getvalue() == ""
    log.warn("careful")
    assert "careful" in out.getvalue()


def test_without_a_terminal_a_line_now_and_then_tells_the_time_left() -> None:
    clock, out = Clock(), io.StringIO()
    log = Log(out, clock=clock)
    with log.progress("train", 100) as bar:
        for _ in range(100):
            clock.now_s += 1.0
            bar.advance(note="loss 0.3")
    lines = out.getvalue().splitlines()
    assert lines[0] == "[   15s] train: 15/100, about 1m25s left, loss 0.3"
    assert len(lines) == 6  # at 15, 30, … 90 s; the end speaks for itself


def test_the_time_left_after_a_resume_counts_new_work_only() -> None:
    clock, out = Clock(), io.StringIO()
    with Log(out, clock=clock).progress("train", 100) as bar:
        bar.advance(60)
        for _ in range(30):
            clock.now_s += 1.0
            bar.advance()
    lines = ["[   15s] train: 75/100, about 25s left\n", "[   30s] train: 90/100, about 10s left\n"]
    assert out.getvalue() == "".join(lines)


def test_what_comes_after_a_bar_is_added_to_its_time_left() -> None:
    clock, out = Clock(), io.StringIO()
    with Log(out, clock=clock).progress("train", 30, rest_s=120.0) as bar:
        for _ in range(20):
            clock.now_s += 1.0
            bar.advance()
    assert out.getvalue() == "[   15s] train: 15/30, about 15s left (2m15s to the end of the run)\n"


def test_a_plan_that_changes_changes_the_time_left() -> None:
    clock, out = Clock(), io.StringIO()
    with Log(out, clock=clock).progress("train", 10, rest_s=120.0) as bar:
        bar.expect(40, 60.0)
        for _ in range(20):
            clock.now_s += 1.0
            bar.advance()
    assert out.getvalue() == "[   15s] train: 15/40, about 25s left (1m25s to the end of the run)\n"


def test_what_was_forecast_counts_while_little_is_done() -> None:
    """2 of 10 in 16 s; of the 40 s forecast for all, 15 % count: 6 s for 1.5 pieces more."""
    clock, out = Clock(), io.StringIO()
    with Log(out, clock=clock).progress("train", 10, forecast_s=40.0) as bar:
        for _ in range(2):
            clock.now_s += 8.0
            bar.advance()
    assert out.getvalue() == "[   16s] train: 2/10, about 50s left\n"  # (16 + 6) / (2 + 1.5) * 8


def test_the_time_left_is_no_longer_than_the_limit_of_the_work() -> None:
    clock, out = Clock(), io.StringIO()
    with Log(out, clock=clock).progress("measure", 337, limit_s=50.0) as bar:
        for seconds in (1.0, 16.0):
            clock.now_s += seconds
            bar.advance()
        assert out.getvalue() == "[   17s] measure: 2/337, at most 33s left\n"
        clock.now_s += 20.0
        bar.advance(300)
    assert out.getvalue().splitlines()[1] == "[   37s] measure: 302/337, about 4s left"


def test_the_bar_shows_the_limit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    with Log(out).progress("measure", 337, limit_s=33.4) as bar:
        bar.advance()
    assert "at most 33s" in out.getvalue()


def test_a_bar_on_a_terminal_and_lines_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    log = Log(out)
    with log.progress("train", 2) as bar:
        bar.advance(1, "loss 0.3")
        log("said [in between]")
        with log.progress("inner", 5) as inner:
            inner.advance(5)
        bar.advance()
    shown = out.getvalue()
    assert "said [in between]" in shown
    assert "train" in shown
    assert "2/2" in shown


class ZMQInteractiveShell:
    """What IPython calls the shell of a notebook, by which rich knows one."""


def test_a_notebook_with_widgets_draws_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not shows_widgets()
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setattr("hwnas.runs.log.find_spec", lambda name: None)
    monkeypatch.setattr(builtins, "get_ipython", ZMQInteractiveShell, raising=False)
    assert not shows_widgets()  # rich would warn that it lacks ipywidgets
    monkeypatch.setattr("hwnas.runs.log.find_spec", lambda name: name)
    assert shows_widgets()
