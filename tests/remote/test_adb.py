"""An Android device whose adb and whose onnxruntime_perf_test are stand-ins with the real ones' words."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lut.devices.android import AndroidDevice
from lut.devices.device import device_context, run_job, run_rows
from profilers import Timing, read_rows, write_job
from targets import Reach, Target, load_target
from targets.errors import DamagedFileError, TargetError

pytestmark = pytest.mark.slow


TIMING = Timing(3600.0, min_rounds=4)
RUNNER = "/data/local/tmp/hwnas/onnxruntime_perf_test"
HERE = Path(__file__).parent
ROUNDS = 2


def program(path: Path, source: Path | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(source, Path):
        source = f'#!/bin/sh\nexec {sys.executable} -S {source} "$@"\n'
    path.write_text(source)
    path.chmod(0o755)


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that stands for the device; its adb is the first in the path."""
    home = tmp_path / "phone"
    home.mkdir()
    (home / "states").write_text("R58M\tdevice\n")
    program(tmp_path / "host" / "adb", HERE / "fake_adb.py")
    runner = home / "root" / "hwnas" / "onnxruntime_perf_test"
    runner.parent.mkdir(parents=True)
    runner.write_text(f"#!{sys.executable} -S\n" + (HERE / "fake_runner.py").read_text())
    runner.chmod(0o755)
    (runner.parent / "libonnxruntime.so").write_text("library")
    program(home / "bin" / "getprop", '#!/bin/sh\necho "a $1"\n')
    monkeypatch.setattr("lut.devices.android_calls.ROUNDS", ROUNDS)
    monkeypatch.setenv("FAKE_DEVICE", str(home))
    monkeypatch.setenv("PATH", f"{tmp_path / 'host'}{os.pathsep}{os.environ['PATH']}")
    return home


@pytest.fixture
def android() -> Target:
    return load_target("android")


def nothing(*_: object) -> None:
    pass


def a_job(tmp_path: Path, net, android: Target, n: int = 3):
    models = {f"conv {i}": net(4 + i) for i in range(n)}
    return write_job(tmp_path / "job", android.without_address(), models, net(40), TIMING), models


def test_rows_hold_what_the_runner_measured_and_what_it_does_not_tell_is_empty(
    phone: Path, android: Target, net, tmp_path: Path
) -> None:
    models = {"small": net(4), "large": net(64)}
    rows = run_job(android, models, TIMING, nothing, folder=tmp_path / "job")
    assert set(rows) == set(models)
    for key, found in rows.items():
        ms = 1e-5 * len(models[key])  # 10 ns per byte, and 0 to 9 us more for ten runs
        assert found["n"] == ROUNDS * 10
        assert found["wall_ms"] == pytest.approx(
            [ms + 1e-3 * i for _ in range(ROUNDS) for i in range(10)], rel=1e-5
        )
        assert ms <= found["p20_ms"] <= found["p50_ms"] <= found["p90_ms"] <= ms + 0.009
        assert (found["clock"], found["cpu_ms"], found["cpu_share"]) == ("wall", [], None)
        assert (found["peak_bytes"], found["first_run_ms"]) == (35299328, 20)
        assert found["load_ms"] == pytest.approx(27.3071)
        assert len(found["ratio"]) == found["n"]
    conditions = (tmp_path / "job" / "conditions.jsonl").read_text().splitlines()
    assert len(conditions) == 2
    assert not (phone / "root" / "hwnas" / "models").exists()
    assert (phone / "root" / "hwnas" / "onnxruntime_perf_test").exists()


def test_the_runner_is_told_everything_that_the_target_says(phone: Path, android: Target, net) -> None:
    target = replace(android, threads=4, graph_level="extended", provider="xnnpack")
    run_job(target, {"a": net(4)}, TIMING, nothing)
    calls = (phone / "root" / "hwnas" / "calls").read_text().splitlines()
    assert len(calls) == ROUNDS * 2  # the network and the reference
    words = calls[0].split()
    for flag, value in (
        ("-e", "xnnpack"),
        ("-x", "4"),
        ("-y", "1"),
        ("-o", "2"),
        ("-m", "times"),
        ("-r", "10"),
    ):
        assert words[words.index(flag) + 1] == value
    assert {"-I", "-D", "-s"} <= set(words)


def test_calls_are_interleaved_in_another_order_each_round(phone: Path, android: Target, net) -> None:
    models = {f"conv {i}": net(4 + i) for i in range(6)}
    run_job(android, models, TIMING, nothing)
    calls = [line.split()[-2] for line in (phone / "root" / "hwnas" / "calls").read_text().splitlines()]
    rounds = np.array_split(calls, ROUNDS)
    assert len({tuple(r) for r in map(tuple, rounds)}) == ROUNDS
    assert len({frozenset(r) for r in map(tuple, rounds)}) == 1  # each network once, the reference first
    assert len({r[0] for r in rounds}) == 1


def test_a_device_that_goes_away_costs_one_call(phone: Path, android: Target, net, tmp_path: Path) -> None:
    job, models = a_job(tmp_path, net, android)
    lost = iter((5, 4, 13))
    (phone / "lose").write_text("3")

    def replug(seconds: float) -> None:
        (phone / "lose").write_text(str(next(lost, 1000)))

    AndroidDevice(android, nothing, replug).measure(job, nothing)
    assert next(lost, None) is None
    assert {found["key"] for found in read_rows(job.rows_path)} == set(models)
    calls = (phone / "root" / "hwnas" / "calls").read_text().splitlines()
    assert ROUNDS * 4 <= len(calls) <= ROUNDS * 4 + 4


@pytest.mark.parametrize("after", [12, 13])  # shell calls: while the runner runs, while its result is read
def test_a_cable_that_comes_off_without_a_word(
    after: int, phone: Path, android: Target, net, tmp_path: Path
) -> None:
    job, models = a_job(tmp_path, net, android)
    (phone / "silent").write_text("")
    (phone / "lose").write_text(str(after))
    seen: list[str] = []

    def replug(seconds: float) -> None:
        seen.append((phone / "states").read_text())
        if len(seen) == 2:  # it takes a while until it is back
            (phone / "states").write_text("R58M\tdevice\n")

    AndroidDevice(android, nothing, replug).measure(job, nothing)
    assert seen == ["", ""]
    assert len(read_rows(job.rows_path)) == len(models)


def test_a_device_that_stays_away_is_given_up_with_what_was_measured_kept(
    phone: Path, android: Target, net, tmp_path: Path
) -> None:
    job, models = a_job(tmp_path, net, android)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        (phone / "lose").write_text("1")

    (phone / "lose").write_text("16")
    with pytest.raises(TargetError, match=r"device R58M is gone.*Given up after 3 more tries.*kept in"):
        AndroidDevice(android, nothing, pause).measure(job, nothing)
    assert pauses == [2, 10, 30]
    (phone / "lose").unlink(missing_ok=True)
    before = len((job.folder / "native.jsonl").read_text().splitlines())
    assert 1 <= before < ROUNDS * 4
    AndroidDevice(android, nothing).measure(job, nothing)
    assert len(read_rows(job.rows_path)) == len(models)
    assert len((job.folder / "native.jsonl").read_text().splitlines()) == ROUNDS * 4


@pytest.mark.parametrize(
    ("states", "serial", "message"),
    [
        ("", "", "adb sees no device; switch on USB debugging"),
        ("R58M\tunauthorized\n", "", "unlock its screen, accept the key"),
        ("R58M\toffline\n", "", "is offline: unplug it"),
        ("R58M\tdevice\nemulator-5554\tdevice\n", "", "2 devices: R58M .device., emulator.*set reach.serial"),
        ("R58M\tdevice\n", "OTHER", "adb sees no device OTHER, only: R58M"),
        ("R58M\trecovery\n", "", "is in state recovery"),
    ],
)
def test_devices_that_cannot_be_used_are_never_guessed(
    phone: Path, android: Target, states: str, serial: str, message: str
) -> None:
    (phone / "states").write_text(states)
    target = replace(android, reach=replace(android.reach, serial=serial))
    with pytest.raises(TargetError, match=message):
        AndroidDevice(target, nothing).facts()


def test_of_two_devices_the_named_one_is_used(phone: Path, android: Target) -> None:
    (phone / "states").write_text("R58M\tdevice\nemulator-5554\toffline\n")
    target = replace(android, reach=replace(android.reach, serial="R58M"))
    facts = AndroidDevice(target, nothing).facts()
    assert facts["device_model"] == "a ro.product.model"
    assert len(facts["runner_sha256"]) == len(facts["library_sha256"]) == 64
    assert device_context(target, "").facts["library_sha256"] == facts["library_sha256"]


def test_without_adb_or_runner(phone: Path, android: Target, net, monkeypatch: pytest.MonkeyPatch) -> None:
    for runner in ("", "/data/local/tmp/nowhere/onnxruntime_perf_test"):
        target = replace(android, reach=Reach(transport="adb", runner=runner))
        for ask in (
            lambda t: AndroidDevice(t, nothing).facts(),
            lambda t: run_job(t, {"a": net(4)}, TIMING, nothing),
        ):
            with pytest.raises(
                TargetError, match=r"no onnxruntime_perf_test to measure with.*build.sh --android"
            ):
                ask(target)
    monkeypatch.setenv("PATH", str(phone))
    with pytest.raises(TargetError, match="the program adb is not on this machine; install it"):
        AndroidDevice(android, nothing).facts()


def test_what_the_device_cannot_do_is_said(phone: Path, android: Target, net) -> None:
    with pytest.raises(TargetError, match=r"provider nnapi is not in this runner.*set provider = 'cpu'"):
        run_job(replace(android, provider="nnapi"), {"a": net(4)}, TIMING, nothing)
    with pytest.raises(DamagedFileError, match=r"cannot run broken: Load model from .* failed"):
        run_job(android, {"broken": b"no network"}, TIMING, nothing)
    with pytest.raises(TargetError, match="measures latencies only, not kernels"):
        run_rows(android, {"a": net(4)}, TIMING, nothing, kinds={"a": ("time", "kernels")})
    (phone / "full").write_text("")
    with pytest.raises(TargetError, match=r"no space on the device for .*/part \(\d+ bytes\)"):
        run_job(android, {"new": net(5)}, TIMING, nothing)
