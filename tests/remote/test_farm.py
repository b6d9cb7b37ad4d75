"""Two boards behind ssh servers of their own, one of which is killed while it measures and started again."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import lut.devices.device
import lut.devices.side_by_side as queues
from hwnas.runs.device_rows import DeviceLog, on_devices
from hwnas.runs.log import Log
from lut.devices.device import run_rows
from profilers import Timing
from targets import Target, load_target
from tests.support.loopback import Server, prepared_server, pull_the_plug, running

pytestmark = pytest.mark.slow


class Board:
    """A server, and its process while it runs."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.server: Server = prepared_server(folder)
        self.process: subprocess.Popen[bytes] = running(self.server)

    def target(self, name: str) -> Target:
        return replace(load_target("host"), name=name, reach=self.server.reach(self.server.folder / name))


@pytest.fixture
def boards(tmp_path: Path) -> Iterator[list[Board]]:
    made = [Board(tmp_path / name) for name in ("one", "two")]
    yield made
    for board in made:
        pull_the_plug(board.process)


def test_a_board_that_dies_goes_on_when_it_is_back_and_the_others_do_not_wait(
    boards: list[Board], net: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lut.devices.reconnect.PAUSES_S", (0.05,))
    first, second = boards
    happened: list[str] = []
    advance, note, open_device = DeviceLog.advance, DeviceLog.note, lut.devices.device.open_device

    def advance_and_kill(row: DeviceLog, n: int = 1, text: str = "") -> None:
        if row.name == "a" and "killed" not in happened:
            pull_the_plug(first.process)
            happened.append("killed")
        advance(row, n, text)

    def noted(row: DeviceLog, state: str) -> None:
        if not state.startswith("works"):
            happened.append(f"{row.name} {state.split(',')[0]}")
        note(row, state)

    def asked(target: Target, log: Any) -> Any:
        happened.append("asked")
        if happened.count("asked") == 3:
            first.process = running(first.server)
        return open_device(target, log)

    monkeypatch.setattr(DeviceLog, "advance", advance_and_kill)
    monkeypatch.setattr(DeviceLog, "note", noted)
    monkeypatch.setattr(queues, "open_device", asked)

    devices = [first.target("a"), first.target("a-again"), second.target("b")]
    models = {"small": net(4), "large": net(16)}
    timing = Timing(120, min_rounds=4, max_rounds=4, passes=3)
    logs: dict[str, Any] = {}

    def measure(place: int, log: Log) -> list[dict[str, Any]]:
        logs[devices[place].name] = log
        return run_rows(devices[place], models, timing, log, progress=log.progress)

    stream = io.StringIO()
    named = [(device.name, device) for device in devices]
    results = on_devices(named, measure, Log(stream), pauses_s=(0.1, 0.1, 0.5))

    for device, rows in zip(devices, results, strict=True):
        assert isinstance(rows, list), rows
        assert sorted({(row["key"], row["pass"]) for row in rows}) == [
            (key, number) for key in ("large", "small") for number in range(3)
        ]
        assert len(rows) == logs[device.name].n_done == 6  # those before the death were not measured twice
    assert happened.index("a away") < happened.index("a is back") < happened.index("a done")
    assert happened.index("a done") < happened.index("a-again done")  # one board, one job
    assert "b away" not in happened and "b done" in happened
    assert "a: target a: 127.0.0.1" in stream.getvalue()  # the lost connection, under the board's name
