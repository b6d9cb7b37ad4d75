"""Queues of devices: what runs beside what, and what becomes of a device that goes away."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lut.devices import side_by_side as module
from lut.devices.side_by_side import DeviceWork, StoppedError, side_by_side
from lut.devices.turns import lent
from targets import Reach, Target, load_target
from targets.errors import ConnectionLostError, TargetError, UsageError

HOST = load_target("host")


def board(number: int) -> Target:
    return replace(HOST, name=f"b{number}", reach=Reach(transport="ssh", host=f"192.0.2.{number}"))


class FakeRow:
    """What a person would see."""

    def __init__(self) -> None:
        self.states: list[str] = []
        self.n_done = 0
        self.stopped = threading.Event()

    def note(self, state: str) -> None:
        self.states.append(state)

    def stop(self) -> None:
        self.stopped.set()


def work(target: Target, do: Callable[[FakeRow], Any]) -> DeviceWork[Any]:
    row = FakeRow()
    return DeviceWork(target, row, lambda: do(row))


@pytest.fixture
def contacts(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Exception]]:
    """By target, what the next contacts raise; one without an entry answers."""
    errors: dict[str, list[Exception]] = {}

    class Device:
        def __init__(self, target: Target) -> None:
            self.target = target

        def contact(self) -> None:
            if waiting := errors.get(self.target.name):
                raise waiting.pop(0)

    monkeypatch.setattr(module, "open_device", lambda target, log: Device(target))
    return errors


def test_devices_work_at_once_and_targets_of_one_device_one_after_the_other() -> None:
    both = threading.Barrier(2, timeout=10)
    order: list[str] = []

    def meet(target: Target) -> Callable[[FakeRow], str]:
        def do(row: FakeRow) -> str:
            with lent(target):
                both.wait()  # would break if the two were not at work together
            return target.name

        return do

    def note(name: str) -> Callable[[FakeRow], str]:
        def do(row: FakeRow) -> str:
            order.append(name)
            return name

        return do

    again = replace(board(1), name="b1 with four threads", threads=4)
    works = [work(board(n), meet(board(n))) for n in (1, 2)] + [work(again, note(again.name))]
    assert side_by_side(works) == ["b1", "b2", "b1 with four threads"]
    assert works[2].row.states == ["done"]  # type: ignore[attr-defined]


def test_this_machine_works_for_one_device_at_a_time() -> None:
    inside: list[int] = []
    most: list[int] = []

    def do(row: FakeRow) -> None:
        inside.append(1)
        most.append(len(inside))
        threading.Event().wait(0.01)
        inside.pop()

    side_by_side([work(board(n), do) for n in range(1, 5)])
    assert most == [1, 1, 1, 1]


def test_a_device_that_comes_back_goes_on(contacts: dict[str, list[Exception]]) -> None:
    contacts["b1"] = [ConnectionLostError("off"), ConnectionLostError("off")]
    tries: list[int] = []

    def do(row: FakeRow) -> str:
        tries.append(1)
        if len(tries) == 1:
            row.n_done = 3
            raise ConnectionLostError("unplugged")
        return "all"

    first = work(board(1), do)
    assert side_by_side([first, work(board(2), lambda row: "two")], pauses_s=(0.01, 0.02, 0.03)) == [
        "all",
        "two",
    ]
    assert first.row.states == [  # type: ignore[attr-defined]
        *(f"away, is asked again in {0:.0f} s" for _ in range(3)),
        "is back",
        "done",
    ]


def test_one_that_stays_away_has_failed_with_all_its_queue(contacts: dict[str, list[Exception]]) -> None:
    lost = [ConnectionLostError("off") for _ in range(100)]
    contacts["b1"] = list(lost)

    def off(row: FakeRow) -> str:
        raise ConnectionLostError("unplugged")

    again = work(replace(board(1), name="b1b"), lambda row: pytest.fail("asked"))
    outcomes = side_by_side([work(board(1), off), again, work(board(2), lambda row: "two")], pauses_s=(0.01,))
    assert outcomes[2] == "two"
    assert [str(outcome) for outcome in outcomes[:2]] == ["unplugged", "unplugged"]


def test_it_is_asked_as_long_as_others_are_at_work(contacts: dict[str, list[Exception]]) -> None:
    contacts["b1"] = [ConnectionLostError("off") for _ in range(6)]  # three times as many as there are pauses
    tries: list[int] = []
    back = threading.Event()

    def lost_once(row: FakeRow) -> str:
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionLostError("unplugged")
        back.set()
        return "one"

    def long(row: FakeRow) -> str:
        with lent(board(2)):
            assert back.wait(10)
        return "two"

    assert side_by_side([work(board(1), lost_once), work(board(2), long)], pauses_s=(0.01, 0.01)) == [
        "one",
        "two",
    ]


def test_a_lone_device_is_not_waited_for(contacts: dict[str, list[Exception]]) -> None:
    def off(row: FakeRow) -> str:
        raise ConnectionLostError("unplugged")

    (outcome,) = side_by_side([work(board(1), off)])
    assert isinstance(outcome, ConnectionLostError)


def test_what_a_person_has_to_mend_is_not_waited_for(contacts: dict[str, list[Exception]]) -> None:
    def fail(error: Exception) -> Callable[[FakeRow], str]:
        def do(row: FakeRow) -> str:
            raise error

        return do

    refused = work(board(1), fail(TargetError("no Python. Install it, and give the command again")))
    outcomes = side_by_side([refused, work(board(2), fail(UsageError("no minutes")))])
    assert [type(outcome) for outcome in outcomes] == [TargetError, UsageError]
    assert refused.row.states == ["failed: no Python"]  # type: ignore[attr-defined]


def test_ctrl_c_ends_all() -> None:
    def measure(row: FakeRow) -> None:
        with lent(board(1)):
            assert row.stopped.wait(10)
        raise StoppedError

    def tick() -> None:
        raise KeyboardInterrupt

    works = [work(board(n), measure) for n in (1, 2)]
    with pytest.raises(KeyboardInterrupt):
        side_by_side(works, tick=tick)


def test_a_bug_ends_all_and_is_not_hidden() -> None:
    def measure(row: FakeRow) -> None:
        with lent(board(1)):
            assert row.stopped.wait(10)
        raise StoppedError

    with pytest.raises(ZeroDivisionError):
        side_by_side([work(board(1), measure), work(board(2), lambda row: 1 / 0)])
