from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from profilers import Timing, read_job, read_rows
from profilers.clock import Clocks
from profilers.rows import append_rows
from profilers.run import MEASURED, clock_of, run_job
from targets.errors import DamagedFileError, TargetError
from tests.support.logs import silent


def profile(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "profilers", str(folder)], capture_output=True, text=True, check=False
    )


def test_a_job_is_read_back_as_it_was_written(make_job) -> None:
    job = make_job()
    assert read_job(job.folder) == job


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("version", 99, "not a job of version"),
        ("models", [{"key": "a"}], "is damaged"),
        ("models", [{"key": "a", "file": "../../secret", "sha256": "0"}], "own folder"),
        ("timing", {"seconds": -1.0}, "seconds must be a number above 0"),
        ("timing", {"seconds": 1.0, "warmups": 2}, "warmups must be at least 3"),
        ("timing", {"minutes": 1.0}, "is damaged"),
        ("timing", {"seconds": 10**400}, "seconds must be a number above 0"),
        ("models", [{"key": "a", "file": "n" * 300, "sha256": "0"}], "own folder"),
    ],
)
def test_damaged_manifests(make_job, field: str, value: object, message: str) -> None:
    job = make_job()
    path = job.folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(DamagedFileError, match=message):
        read_job(job.folder)


def test_a_flipped_byte_in_a_model_is_found(make_job) -> None:
    job = make_job()
    path = job.path("0001.onnx")
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(bytes(raw))
    with pytest.raises(DamagedFileError, match=r"0001\.onnx is missing or damaged"):
        read_job(job.folder)


def test_every_model_gets_a_row_from_real_sessions(make_job) -> None:
    job = make_job(5)
    done = profile(job.folder)
    assert done.returncode == 0, done.stderr
    assert sum(line.startswith(MEASURED) for line in done.stderr.splitlines()) == 5
    rows = read_rows(job.rows_path)
    assert {r["key"] for r in rows} == set(job.models)
    for row in rows:
        assert row["n"] >= 4
        assert 0 < row["p20_ms"] <= row["p50_ms"] <= row["p90_ms"]
        assert row["ci_low_ms"] <= row["p50_ms"] <= row["ci_high_ms"]
        assert row["clock"] == "cpu"
        assert len(row["cpu_ms"]) == len(row["wall_ms"]) == len(row["ratio"]) == row["n"]


KILLED = """
import os, signal, sys
import profilers.run
from profilers.__main__ import main

real, kept = profilers.run.append_rows, []

def append_rows(path, rows):
    real(path, rows)
    kept.extend(rows)
    if len(kept) == 3:
        with path.open("ab") as file:
            file.write(b'{"half')
        os.kill(os.getpid(), signal.SIGKILL)

profilers.run.append_rows = append_rows
main([sys.argv[1]])
"""


@pytest.mark.slow
def test_killed_and_started_again_measures_only_what_is_missing(make_job) -> None:
    """Killed from within, in the middle of a row: from outside, a busy machine may come too late for that."""
    job = make_job(8)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(job.folder)], check=False)
    assert killed.returncode == -signal.SIGKILL
    before = read_rows(job.rows_path)
    assert len(before) == 3
    assert profile(job.folder).returncode == 0
    after = read_rows(job.rows_path)
    assert after[: len(before)] == before
    assert sorted(r["key"] for r in after) == sorted(job.models)
    assert "measured already" in profile(job.folder).stderr


def test_a_torn_last_line_is_cut_and_measured_again(make_job) -> None:
    job = make_job(2)
    run_job(job.folder, Clocks(), silent)
    whole = job.rows_path.read_bytes()
    first = whole.index(b"\n") + 1
    job.rows_path.write_bytes(whole[: first + 40])
    assert [r["key"] for r in read_rows(job.rows_path)] == [json.loads(whole[:first])["key"]]
    assert run_job(job.folder, Clocks(), silent) == 0
    assert sorted(r["key"] for r in read_rows(job.rows_path)) == sorted(job.models)


@pytest.mark.parametrize(
    "line", [b"{]\n", b"[]\n", b'{"n": 1}\n', b'{"kind":"time","key":"a","pass":0}\n' * 2]
)
def test_damage_that_no_kill_explains_is_refused(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(line)
    with pytest.raises(DamagedFileError, match=r"line [12]"):
        read_rows(path)


def test_rows_of_another_job_are_refused(make_job) -> None:
    job = make_job()
    append_rows(job.rows_path, [{"kind": "time", "key": "foreign", "pass": 0}])
    with pytest.raises(DamagedFileError, match=r"'foreign', 0\) is of no model"):
        run_job(job.folder, Clocks(), silent)


def test_a_provider_that_is_missing_ends_with_exit_code_4(make_job, host) -> None:
    job = make_job(target=replace(host, provider="coreml"))
    done = profile(job.folder)
    assert done.returncode == 4
    assert "CoreMLExecutionProvider" in done.stderr
    assert "set provider = 'cpu'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_session_that_falls_back_to_another_provider_is_refused(host, net, monkeypatch) -> None:
    import onnxruntime as ort

    from profilers.session import make_session

    wanted = "CUDAExecutionProvider"
    monkeypatch.setattr(ort, "get_available_providers", lambda: [wanted, "CPUExecutionProvider"])
    real = ort.InferenceSession
    monkeypatch.setattr(
        ort, "InferenceSession", lambda m, o, providers: real(m, o, providers=["CPUExecutionProvider"])
    )
    with pytest.raises(TargetError, match=rf"wanted provider {wanted}, session of a runs on CPU"):
        make_session("a", net(8), replace(host, provider="cuda"))


def test_what_onnxruntime_cannot_load_or_feed_is_named(host, net) -> None:
    from profilers.session import Runner

    with pytest.raises(DamagedFileError, match="cannot load broken"):
        Runner("broken", b"not a network", host, 0)
    with pytest.raises(DamagedFileError, match="export it with fixed sizes"):
        Runner("dynamic", net(8, batch="n"), host, 0)


def test_sessions_are_made_from_the_frozen_options(host) -> None:
    import onnxruntime as ort

    from profilers.session import session_options

    options = session_options(replace(host, threads=2, graph_level="basic"))
    assert options.intra_op_num_threads == 2
    assert options.inter_op_num_threads == 1
    assert options.graph_optimization_level == ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    assert options.execution_mode == ort.ExecutionMode.ORT_SEQUENTIAL
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_the_cpu_clock_is_for_one_thread_of_the_cpu_provider(make_job, host) -> None:
    assert clock_of(make_job()) == "cpu"
    assert clock_of(make_job(target=replace(host, threads=2))) == "wall"
    assert clock_of(make_job(target=replace(host, provider="cuda"))) == "wall"


def test_usage_and_facts() -> None:
    none = subprocess.run([sys.executable, "-m", "profilers"], capture_output=True, text=True, check=False)
    assert none.returncode == 2
    facts = subprocess.run(
        [sys.executable, "-m", "profilers", "--facts"], capture_output=True, text=True, check=True
    )
    assert {"ort_version", "ort_build", "machine", "python", "numpy"} <= set(json.loads(facts.stdout))


def test_timing_refuses_values_that_measure_nothing() -> None:
    for wrong in (
        {"seconds": float("nan")},
        {"seconds": 1, "min_rounds": 3},
        {"seconds": 1, "max_rounds": 4},
    ):
        with pytest.raises(DamagedFileError):
            Timing(**wrong)
