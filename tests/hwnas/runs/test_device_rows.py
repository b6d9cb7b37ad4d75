"""The rows of several devices: what they say, and how they end."""

from __future__ import annotations

import io
import threading
from dataclasses import replace

import pytest

from hwnas.runs.device_rows import DeviceLog, all_of, on_devices
from hwnas.runs.log import Log
from lut.devices.side_by_side import StoppedError
from targets import Reach, load_target
from targets.errors import TargetError, UsageError

DEVICES = [
    (name, replace(load_target("host"), name=name, reach=Reach(transport="ssh", host=f"192.0.2.{i}")))
    for i, name in enumerate(("pi", "phone"))
]


def shown(stream: io.StringIO, text: str) -> None:
    """Waits until the table was drawn."""
    tries = 0
    while text not in stream.getvalue() and (tries := tries + 1) < 6000:
        threading.Event().wait(0.01)


def test_a_row_says_how_far_its_device_is() -> None:
    now_s = [0.0]
    stream = io.StringIO()
    row = DeviceLog(Log(stream), "pi", lambda: now_s[0])
    assert row.state == "waits for its turn"
    with row.progress("measure", 20, limit_s=60) as bar:
        assert row.state == "measure 0/20"
        now_s[0] = 4.0
        bar.advance(2)
        assert row.state == "measure 2/20, about 36s left"
        now_s[0] = 50.0
        bar.advance(1)
        assert row.state == "measure 3/20, at most 10s left"
    assert row.state == "works" and row.n_done == 3
    row.note("away, is asked again in 30 s")
    assert row.state == "away, is asked again in 30 s"
    assert stream.getvalue().endswith("] pi: away, is asked again in 30 s\n")


def test_lines_name_their_device_and_a_quiet_log_stays_quiet() -> None:
    stream = io.StringIO()
    row = DeviceLog(Log(stream), "pi")
    row("making 20 networks")
    row.warn("it is hot")
    assert [line.split("] ")[1] for line in stream.getvalue().splitlines()] == [
        "pi: making 20 networks",
        "pi: warning: it is hot",
    ]
    DeviceLog(Log(stream, quiet=True), "pi")("nothing")
    assert "nothing" not in stream.getvalue()


def test_a_row_that_is_stopped_ends_its_work() -> None:
    row = DeviceLog(Log(io.StringIO()), "pi")
    row.stop()
    for callback in (row.advance, lambda: row("text"), lambda: row.warn("text")):
        with pytest.raises(StoppedError):
            callback()
    with pytest.raises(StoppedError), row.progress("measure", 2):
        pass


def test_without_a_terminal_the_table_is_written_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas.runs.device_rows.LINE_EVERY_S", 0.0)
    stream = io.StringIO()
    assert on_devices(DEVICES, lambda place, log: shown(stream, "waits for"), Log(stream)) == [None, None]
    lines = [line.split("] ")[1] for line in stream.getvalue().splitlines()]
    assert {"pi: done", "phone: done"} <= set(lines)
    rows = [line for line in lines if ":" not in line]
    assert {row.split()[0] for row in rows} == {"pi", "phone"}
    assert all(row.startswith(("pi     ", "phone  ")) for row in rows)  # a column each


def test_on_a_terminal_the_rows_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()

    def do(place: int, log: Log) -> str:
        log(f"line {place}")
        shown(stream, "waits for its turn")
        return DEVICES[place][0]

    assert on_devices(DEVICES, do, Log(stream)) == ["pi", "phone"]
    text = stream.getvalue()
    assert "pi: line 0" in text and "phone: line 1" in text and "waits for its turn" in text


def test_one_device_has_the_log_to_itself() -> None:
    log = Log(io.StringIO())
    assert on_devices(DEVICES[:1], lambda place, told: told is log, log) == [True]
    assert on_devices([], lambda place, told: place, log) == []


def test_what_failed_is_said_in_one_message_with_the_first_exit_code() -> None:
    assert all_of(DEVICES, [1, 2], "") == [1, 2]
    failed = TargetError("target pi: it is off.")
    with pytest.raises(TargetError, match=r"^target pi: it is off\.$"):
        all_of(DEVICES[:1], [failed], "kept")
    with pytest.raises(TargetError) as refusal:
        all_of(DEVICES, [failed, UsageError("target phone: no minutes")], "The others are kept")
    assert str(refusal.value) == (
        "2 of 2 devices failed. target pi: it is off. target phone: no minutes. The others are kept"
    )
