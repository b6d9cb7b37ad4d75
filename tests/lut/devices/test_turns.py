"""One job per device, whoever begins it, and one thread at work on this machine."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lut.devices import turns
from lut.devices.turns import device_lock, lent, own_time_s, taking_turns
from targets import Reach, Target, load_target
from targets.connect import device_key

HOST = load_target("host")
HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "a+")
fcntl.flock(file, fcntl.LOCK_EX)
file.truncate(0)  # what the last holder, of another test, has left
file.write('{"pid": 7, "host": "lab", "since": "noon"}')
file.flush()
print("held", flush=True)
sys.stdin.read()
"""


def board(name: str, **reach: object) -> Target:
    return replace(HOST, name=name, reach=Reach(transport="ssh", **reach))  # type: ignore[arg-type]


@pytest.fixture
def holder() -> Iterator[subprocess.Popen[str]]:
    """Another process that measures on this machine."""
    path = turns.locks_folder() / "local.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_device_is_known_by_its_place_and_not_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = board("a", host="192.0.2.1"), board("b", host="192.0.2.1", user="pi", python="venv/bin/python")
    assert device_key(a) == device_key(b) == device_key(replace(a, threads=4)) == "ssh 192.0.2.1:22"
    assert device_key(board("a", host="192.0.2.1", port=2222)) == "ssh 192.0.2.1:2222"
    assert device_key(board("a", host="192.0.2.2")) == "ssh 192.0.2.2:22"
    phone = replace(HOST, name="c", reach=Reach(transport="adb", serial="R5CT", runner="/r"))
    assert device_key(phone) == "adb R5CT"
    assert device_key(HOST) == device_key(load_target("host-int8")) == "local"


def test_another_process_has_the_device_first(holder: subprocess.Popen[str]) -> None:
    said: list[str] = []

    def wait(seconds: float) -> None:
        if holder.poll() is None:  # its death, of whatever kind, frees the device
            holder.kill()
            holder.wait()

    began_s = own_time_s()
    with device_lock(HOST, said.append, wait):
        assert said == [
            "target host: this machine is measured by pid 7 on host lab since noon; waiting",
        ]
        assert own_time_s() - began_s < 0.1
    with device_lock(HOST, said.append, lambda seconds: pytest.fail("waits")):  # free again
        assert len(said) == 1


def test_two_threads_are_two_jobs() -> None:
    inside: list[int] = []
    most: list[int] = []

    def job() -> None:
        with device_lock(HOST, lambda text: None, lambda seconds: None):
            inside.append(1)
            most.append(len(inside))
            threading.Event().wait(0.005)
            inside.pop()

    threads = [threading.Thread(target=job) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]


def test_without_a_place_for_locks_a_job_runs_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("lut.devices.turns.locks_folder", lambda: tmp_path / "file")
    said: list[str] = []
    with device_lock(HOST, said.append):
        (line,) = said
    assert "local.lock cannot be written" in line and "nothing keeps another job off host" in line


def test_a_turn_is_lent_while_a_board_works_and_kept_while_this_machine_does() -> None:
    turn = threading.Lock()
    with taking_turns(turn):
        with lent(board("a", host="192.0.2.1")):
            assert not turn.locked()
        assert turn.locked()
        with lent(HOST):
            assert turn.locked()
    assert not turn.locked()
    with lent(board("a", host="192.0.2.1")):  # a thread that works alone has no turn to lend
        pass


def test_the_clock_stands_still_while_a_thread_waits_for_its_turn() -> None:
    turn = threading.Lock()
    with taking_turns(turn):
        with lent(board("a", host="192.0.2.1")):
            turn.acquire()  # of another one, who has it for a while
            threading.Timer(0.3, turn.release).start()
            began_s, began_own_s = time.monotonic(), own_time_s()
        assert time.monotonic() - began_s >= 0.25
        assert own_time_s() - began_own_s < 0.2
