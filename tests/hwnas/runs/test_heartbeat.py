"""A long call gives signs of life, a short one none, and none come after its end."""

import threading

import pytest

from hwnas.runs.heartbeat import heartbeat


def test_it_beats_until_the_block_is_left() -> None:
    lines: list[str] = []
    twice = threading.Event()

    def log(text: str) -> None:
        lines.append(text)
        if len(lines) == 2:
            twice.set()

    with heartbeat(log, "fitting", every_s=0.01):
        assert twice.wait(30)
    assert lines[:2] == ["fitting: 0 s so far", "fitting: 0 s so far"]


def test_a_short_call_says_nothing_and_an_error_goes_through() -> None:
    lines: list[str] = []
    with pytest.raises(ZeroDivisionError), heartbeat(lines.append, "fitting", every_s=60):
        1 / 0  # noqa: B018
    assert lines == []
