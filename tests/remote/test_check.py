"""`hwnas targets check`: each need is there, or missing with how to get it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import lut.devices.needs
from lut.devices.needs import Need, check_needs
from targets import Int8Form, Target, load_target
from targets.errors import TargetError
from targets.int8_form import UINT8

ALL = {
    "python": "3.9.2",
    "executable": "/usr/bin/python3",
    "numpy": "1.24.0",
    "onnxruntime": "1.19.0",
    "providers": ["CPUExecutionProvider"],
    "folder": "/home/pi/.cache/hwnas",
    "free_bytes": 5_000_000_000,
    "conditions": {"governor": "performance", "frequency_mhz": [1800.0]},
    "energy": [{"reader": "battery", "part": "whole device", "available": True, "reason": None}],
}


class Board:
    def __init__(self, found: Mapping[str, Any] | TargetError, reachable: TargetError | None = None) -> None:
        self.found, self.reachable = found, reachable

    def contact(self) -> None:
        if self.reachable:
            raise self.reachable

    def inventory(self) -> Mapping[str, Any]:
        if isinstance(self.found, TargetError):
            raise self.found
        return self.found

    def facts(self) -> Mapping[str, Any]:
        return {"machine": "x86_64", "cpu_flags": "avx2 sse2"}


def needs(board: Board, monkeypatch: pytest.MonkeyPatch, target: Target | None = None) -> dict[str, Need]:
    monkeypatch.setattr(lut.devices.needs, "open_device", lambda target, log: board)
    return {need.name: need for need in check_needs(target or load_target("raspberry-pi-4"))}


def test_a_board_that_has_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    found = needs(Board(ALL), monkeypatch)
    names = ["reachable", "program", "numpy", "onnxruntime", "provider", "space", "governor", "energy"]
    assert list(found) == names
    assert {need.state for need in found.values()} == {"ok"}
    assert not any(need.advice for need in found.values())


@pytest.mark.parametrize(
    ("change", "name", "state", "advice"),
    [
        ({"numpy": None}, "numpy", "missing", "pip install numpy"),
        ({"onnxruntime": None, "providers": []}, "onnxruntime", "missing", "pip install onnxruntime"),
        ({"providers": ["AzureExecutionProvider"]}, "provider", "missing", "or set provider = 'cpu'"),
        ({"free_bytes": 10_000_000}, "space", "missing", "free 200 MB, or set reach.folder"),
        ({"conditions": {"governor": "ondemand"}}, "governor", "ok", "cpupower frequency-set -g performance"),
        ({"conditions": {}}, "governor", "absent", "the system does not tell"),
        ({"energy": []}, "energy", "absent", "unavailable"),
        (
            {
                "energy": [
                    {
                        "reader": "rapl",
                        "part": "cpu",
                        "available": False,
                        "reason": "x is closed to this user",
                    }
                ]
            },
            "energy",
            "absent",
            "x is closed to this user",
        ),
    ],
)
def test_what_is_missing_comes_with_how_to_get_it(
    change: dict[str, Any], name: str, state: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = needs(Board({**ALL, **change}), monkeypatch)[name]
    assert need.state == state
    assert advice in need.advice


@pytest.mark.parametrize(
    ("form", "found", "advice"),
    [
        (None, "activations uint8, weights int8 in 7 bits per channel (the default for this CPU)", ""),
        (UINT8, "activations uint8, weights int8 per channel (set by [quantisation])", "no VNNI"),
    ],
)
def test_an_int8_target_says_its_form_and_what_is_wrong_with_it(
    form: Int8Form | None, found: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = replace(load_target("host-int8"), quantisation=form)
    need = needs(Board(ALL), monkeypatch, target)["int8 form"]
    assert (need.state, need.found) == ("ok", found)
    assert advice in need.advice and bool(advice) == bool(need.advice)


def test_needs_behind_one_that_is_missing_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    found = needs(Board(ALL, TargetError("switched off")), monkeypatch)
    assert [(need.name, need.state, need.advice) for need in found.values()] == [
        ("reachable", "missing", "switched off")
    ]
    found = needs(Board(TargetError("too old")), monkeypatch)
    assert [(need.name, need.state) for need in found.values()] == [
        ("reachable", "ok"),
        ("program", "missing"),
    ]


@pytest.mark.slow
def test_a_real_board_behind_ssh(board: Target, lean_python, tmp_path: Path) -> None:
    found = {need.name: need for need in check_needs(board)}
    assert {found[name].state for name in ("reachable", "program", "numpy", "onnxruntime", "provider")} == {
        "ok"
    }
    lean = replace(board, reach=replace(board.reach, python=lean_python("numpy")))
    states = {need.name: need.state for need in check_needs(lean)}
    assert (states["numpy"], states["onnxruntime"]) == ("ok", "missing")
