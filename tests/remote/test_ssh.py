"""Jobs over a real ssh server: equal to local ones, and whole whatever happens to the line."""

from __future__ import annotations

import random
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import targets.ssh
from lut.devices.device import device_facts, run_job, run_rows
from lut.devices.python_device import PythonDevice
from lut.devices.reference_networks import reference_onnx
from profilers import Timing, read_rows, write_job
from profilers.rows import identity
from profilers.run import wanted_rows
from targets import Target, load_target, make_context
from targets.errors import TargetError

pytestmark = pytest.mark.slow


QUICK = Timing(3600.0, min_rounds=4, max_rounds=4, min_sample_ms=0.01, together=1)
"""A group per model, so that rows come one after the other."""

SLOW = replace(QUICK, min_rounds=12, max_rounds=12, min_sample_ms=10.0)
"""A quarter of a second of work per row: time to act between the first row and the last."""


def reaching(target: Target, **change: Any) -> Target:
    return replace(target, reach=replace(target.reach, **change))


def a_job(folder: Path, net, n: int = 6, timing: Timing = QUICK):
    return write_job(
        folder, load_target("host"), {f"conv {i}": net(4 + i) for i in range(n)}, reference_onnx(), timing
    )


def nothing(*_: object) -> None:
    pass


def test_rows_facts_and_context_are_those_of_the_device(board: Target, net, tmp_path: Path) -> None:
    models = {"a": net(4), "b": net(64)}
    rows = run_job(board, models, QUICK, nothing, folder=tmp_path / "job")
    assert set(rows) == {"a", "b"}
    assert all(row["n"] >= 4 and row["p50_ms"] > 0 for row in rows.values())
    conditions = (tmp_path / "job" / "conditions.jsonl").read_text().splitlines()
    assert ['"start"' in line for line in conditions] == [True, False]
    # the board is this machine, so that the facts must be those that a local process finds
    assert device_facts(board) == device_facts(load_target("host"))
    here, there = (make_context(t, device_facts(t), "x") for t in (load_target("host"), board))
    assert here.hash == there.hash  # an address is no part of what a latency depends on


def test_a_profile_over_ssh_is_of_the_size_of_the_local_one(board: Target, net) -> None:
    """benchmarks/remote_profile.py says how exact; two sessions of one network differ by up to a half.

    Two networks, a hundred times the work of one in the other, so that rows mixed up or counted in another
    unit are seen; the times themselves are compared, for a ratio to the reference hides a common factor.
    """
    timing = Timing(3600.0, min_rounds=20, max_rounds=40)
    models = {"small": net(40), "large": net(4000)}
    here, there = (run_job(t, models, timing, nothing) for t in (load_target("host"), board))
    for key in models:
        assert 1 / 3 < here[key]["p20_ms"] / there[key]["p20_ms"] < 3
        assert here[key]["clock"] == there[key]["clock"] == "cpu"
        assert here[key].keys() == there[key].keys()
    assert there["large"]["p20_ms"] > 10 * there["small"]["p20_ms"]


@pytest.mark.parametrize("seed", range(5))
def test_cut_at_random_moments_it_loses_nothing_and_measures_nothing_twice(
    seed: int, board: Target, line, net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        line.limit = rng.randrange(100, 9_000) if len(pauses) < 3 else None

    device = PythonDevice(reaching(board, port=line.port), nothing, pause)
    monkeypatch.setattr(device, "ask", keep_jobs(device.ask))
    device.facts()  # the first contact is made: from here on a lost line is tried again
    job = a_job(tmp_path / "job", net)
    line.limit = rng.randrange(100, 12_000)
    shown: list[int] = []
    device.measure(job, lambda: shown.append(1))
    here = read_rows(job.rows_path)
    assert {identity(row) for row in here} == {row for group in wanted_rows(job) for row in group}
    assert len(shown) == len(here)
    (there,) = (tmp_path / "board" / "jobs").glob("*/rows.jsonl")
    by_identity = {identity(row): row for row in read_rows(there)}  # a row that occurs twice is refused
    assert {identity(row): row for row in here} == by_identity  # each was measured once
    assert line.n_cuts == len(pauses) >= 1


def keep_jobs(ask):
    return lambda *command, **more: None if command[0] == "drop" else ask(*command, **more)


def test_a_line_that_dies_without_a_word_is_noticed_and_the_old_run_gives_way(
    board: Target, line, net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets.ssh, "ALIVE_EVERY_S", 2)
    monkeypatch.setattr(targets.ssh, "ALIVE_TRIES", 1)
    device = PythonDevice(reaching(board, port=line.port), nothing, nothing)
    device.facts()
    job = a_job(tmp_path / "job", net, 3, SLOW)
    rows = 0

    def advance() -> None:
        nonlocal rows
        rows += 1
        if rows == 1:
            line.silent, line.limit = True, 0

    device.measure(job, advance)
    assert len(read_rows(job.rows_path)) == 3
    assert line.n_cuts == 1


def test_rows_that_only_the_host_still_has_are_not_measured_again(board: Target, net, tmp_path: Path) -> None:
    job = a_job(tmp_path / "job", net, n=3)
    device = PythonDevice(board, nothing)
    device.measure(job, nothing)
    rows = read_rows(job.rows_path)
    whole = job.rows_path.read_bytes()
    job.rows_path.write_bytes(
        whole[: whole.index(b"\n") + 1]
    )  # and the device dropped the job when it was done
    device.measure(job, nothing)
    assert read_rows(job.rows_path)[0] == rows[0]
    assert len(read_rows(job.rows_path)) == 3


def test_the_job_is_removed_from_the_device_and_its_files_are_sent_once(
    board: Target, net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []
    device = PythonDevice(board, nothing)
    ask = device.ask

    def spy(*command: str, **more: Any) -> Any:
        if command[0] == "receive":
            sent.append(more["stdin"])
        return ask(*command, **more)

    monkeypatch.setattr(device, "ask", spy)
    device.measure(a_job(tmp_path / "one", net, n=2), nothing)
    device.measure(a_job(tmp_path / "two", net, n=3), nothing)
    assert list((tmp_path / "board" / "jobs").iterdir()) == []
    assert len(sent) == 2
    assert sent[1].endswith(net(6))
    assert len(sent[1]) < len(net(6)) + 100  # the one that is new


def test_given_up_after_three_more_tries_with_rows_kept(board: Target, line, net, tmp_path: Path) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        line.limit = 0

    device = PythonDevice(reaching(board, port=line.port), nothing, pause)
    device.facts()
    job = a_job(tmp_path / "job", net, timing=SLOW)

    def advance() -> None:
        line.limit = 0

    with pytest.raises(TargetError, match=r"measurements are kept in .* the same command goes on from there"):
        device.measure(job, advance)
    assert pauses == [2, 10, 30]
    n_rows = len(read_rows(job.rows_path))
    assert 1 <= n_rows < 6
    PythonDevice(board, nothing).measure(job, nothing)
    assert len(read_rows(job.rows_path)) == 6


def test_a_killed_client_is_a_lost_line(board: Target, net, tmp_path: Path) -> None:
    device = PythonDevice(board, nothing, nothing)
    job = a_job(tmp_path / "job", net, timing=SLOW)
    killed: list[int] = []

    def advance() -> None:
        if not killed:
            killed.append(client_pid(str(board.reach.port)))
            subprocess.run(["kill", "-9", str(killed[0])], check=True)

    device.measure(job, advance)
    assert killed
    assert len(read_rows(job.rows_path)) == 6


def client_pid(port: str) -> int:
    """The ssh client of this process that talks to the port."""
    import os

    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().decode().split("\0")
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == os.getpid() and words[0] == "ssh" and port in words:
            return int(path.name)
    raise AssertionError("no ssh client runs")


def test_unknown_changed_and_missing_keys(board: Target, sshd, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("")
    with pytest.raises(TargetError, match=r"host key is not the one that is known.*accepts no key by itself"):
        PythonDevice(reaching(board, known_hosts=str(empty)), nothing).facts()
    assert empty.read_text() == ""
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    words = other.with_suffix(".pub").read_text().split()
    changed = tmp_path / "changed"
    changed.write_text(f"[127.0.0.1]:{sshd.port} {words[0]} {words[1]}\n")
    with pytest.raises(TargetError, match=r"ssh-keygen -R 127.0.0.1"):
        PythonDevice(reaching(board, known_hosts=str(changed)), nothing).facts()
    with pytest.raises(TargetError, match="does not let this user in without a password"):
        PythonDevice(reaching(board, identity=str(other)), nothing).facts()


def test_unreachable_devices_are_said_at_once(board: Target, line) -> None:
    line.close()
    for change in ({"port": line.port}, {"host": "no-such-host.invalid"}):
        with pytest.raises(
            TargetError, match=r"cannot be (reached|used).*(Is it switched on|Set reach.host)"
        ):
            PythonDevice(reaching(board, **change), nothing).facts()


def test_without_an_ssh_client(board: Target, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TargetError, match=r"install it .Debian: apt-get install openssh-client"):
        PythonDevice(board, nothing).facts()


def test_nothing_but_numpy_and_onnxruntime_is_needed_there(
    board: Target, lean_python, net, tmp_path: Path
) -> None:
    python = lean_python("numpy", "onnxruntime")
    code = "import importlib.util as u; print([m for m in ('torch', 'pandas', 'onnx') if u.find_spec(m)])"
    assert subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    lean = reaching(board, python=python)
    kinds = {"b": ("time", "kernels", "memory")}
    rows = run_rows(lean, {"a": net(4), "b": net(8)}, QUICK, nothing, kinds=kinds)
    assert {(row["kind"], row["key"]) for row in rows} == {
        ("time", "a"),
        *((kind, "b") for kind in kinds["b"]),
    }


def test_without_onnxruntime_numpy_or_python(board: Target, lean_python, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="has no onnxruntime; install it there: python3 -m pip install"):
        PythonDevice(reaching(board, python=lean_python("numpy")), nothing).facts()
    with pytest.raises(TargetError, match=r"has no numpy; install it there: .*python3-numpy"):
        PythonDevice(reaching(board, python=lean_python()), nothing).facts()
    with pytest.raises(TargetError, match=r"there is no Python at .*none.*apt install python3"):
        PythonDevice(reaching(board, python=str(tmp_path / "none")), nothing).facts()


def test_a_program_that_is_no_python(board: Target) -> None:
    with pytest.raises(TargetError, match="'true' ran there and gave no answer; is it a Python"):
        PythonDevice(reaching(board, python="true"), nothing).facts()


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_python_that_is_too_old(board: Target, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import sys; sys.version_info = (3, 7, 3, 'final', 0)\n")
    old = script(tmp_path / "python", f'PYTHONPATH={site} exec {sys.executable} "$@"')
    with pytest.raises(TargetError, match=r"Python 3\.7 is too old, 3\.9 or newer is needed"):
        PythonDevice(reaching(board, python=old), nothing).facts()


@pytest.mark.parametrize(
    ("what", "limit_bytes"), [("hwnas-", 10_000), ("/files/", 300_000), ("rows.jsonl", 300_000)]
)
def test_a_full_disk_names_the_path_and_keeps_what_was_measured(
    what: str, limit_bytes: int, board: Target, net, tmp_path: Path
) -> None:
    # limit_bytes: of any file that the device can write; too small for the code, for a model, for all rows
    full = script(tmp_path / "python", f'ulimit -f {limit_bytes // 512}; exec {sys.executable} "$@"')
    models = {f"conv {i}": net(4, 200_000 if what == "/files/" else i) for i in range(2)}
    n = 6000 if what == "rows.jsonl" else 4  # samples, at 30 bytes each in a row
    timing = Timing(3600.0, min_rounds=n, max_rounds=n, min_sample_ms=0.001, together=1)
    job = write_job(tmp_path / "job", load_target("host"), models, reference_onnx(), timing)
    with pytest.raises(TargetError, match=rf"board.*{what}.*bytes.*reach\.folder"):
        PythonDevice(reaching(board, python=full), nothing).measure(job, nothing)
    assert len(read_rows(job.rows_path)) == (1 if what == "rows.jsonl" else 0)


def test_a_talkative_shell_and_names_with_spaces_do_no_harm(board: Target, net, tmp_path: Path) -> None:
    talkative = script(tmp_path / "my python", f'echo "Welcome; $HOME"; exec {sys.executable} "$@"')
    odd = reaching(board, python=talkative, folder=str(tmp_path / "a $(board); 'with' odd name"))
    assert run_job(odd, {"a": net(4)}, QUICK, nothing)["a"]["n"] >= 4


def test_a_provider_that_is_not_there(board: Target, net) -> None:
    with pytest.raises(TargetError, match="CUDAExecutionProvider"):
        run_job(replace(board, provider="cuda"), {"a": net(4)}, QUICK, nothing)


def test_without_a_folder_named_the_same_question_goes_on_where_it_stopped(
    board: Target, line, net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("lut.devices.reconnect.PAUSES_S", ())
    far = reaching(board, port=line.port)
    models = {f"conv {i}": net(4 + i) for i in range(4)}

    @contextmanager
    def cutting(name: str, total: int, *, limit_s: float | None = None):
        assert total == 4

        def cut() -> None:
            line.limit = 0

        yield SimpleNamespace(advance=cut)

    with pytest.raises(TargetError, match="measurements are kept in"):
        run_rows(far, models, SLOW, nothing, progress=cutting)
    (kept,) = (tmp_path / "cache" / "hwnas" / "jobs").glob("board-*/rows.jsonl")
    rows = read_rows(kept)
    line.limit = None  # a row that was under way when the line was cut armed it again
    longer = replace(SLOW, seconds=7200.0)
    found = [
        {k: v for k, v in row.items() if k != "conditions"} for row in run_rows(far, models, longer, nothing)
    ]
    assert found[: len(rows)] == rows
    assert len(found) == len(models)
    assert not kept.parent.exists()
