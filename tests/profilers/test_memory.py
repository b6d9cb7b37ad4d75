from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from profilers import Job, Timing, read_rows, write_job
from profilers.memory import MALLOC, memory_row, run_child
from profilers.resident import ProcResident, Resident, resident
from targets.errors import DamagedFileError, TargetError

MB = 10**6


def wide_net(channels: int, size: int, output: str = "pool") -> bytes:
    """A convolution whose result is by far the largest tensor, and its mean per channel."""
    weight = np.ones((channels, 4, 1, 1), np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"]), helper.make_node("GlobalAveragePool", ["y"], ["pool"])],
        "wide",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, size, size])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, channels, 1, 1])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def job_of(folder: Path, host, data: bytes, key: str = "net") -> Job:
    return write_job(folder / "job", host, {key: data}, data, Timing(3600.0), {key: ("memory",)})


class FakeChild:
    """Stages as a process would tell them; MB at most by stage, and how it ended."""

    def __init__(
        self, *peaks_mb: Mapping[str, float], code: int = 0, err: str = "", fresh: bool = True
    ) -> None:
        self.peaks_mb, self.code, self.err, self.fresh = peaks_mb, code, err, fresh
        self.settings: list[object] = []

    def __call__(
        self, arguments: Sequence[str], malloc: Mapping[str, str], limit_s: float
    ) -> tuple[int, str, str]:
        peaks = self.peaks_mb[min(len(self.settings), len(self.peaks_mb) - 1)]
        self.settings.append(dict(malloc))
        lines = [
            json.dumps(
                {
                    "stage": stage,
                    "now_bytes": int(mb * MB) - 1,
                    "peak_bytes": int(mb * MB),
                    "next_is_fresh": self.fresh,
                    "source": "fake",
                    "wall_ms": mb,
                }
            )
            for stage, mb in peaks.items()
        ]
        return self.code, "\n".join(["a warning of some library", *lines]), self.err


STAGES = {"import": 50.0, "load": 90.0, "first run": 70.0, "steady": 80.0}


def test_a_row_is_the_median_of_fresh_processes(tmp_path, host, net) -> None:
    more, most = {**STAGES, "load": 99.0}, {**STAGES, "load": 120.0}
    child = FakeChild(STAGES, more, {**STAGES, "load": 108.0}, most)
    row = memory_row(job_of(tmp_path, host, net(8)), "net", child)
    assert (row["kind"], row["key"], row["pass"], row["n"]) == ("memory", "net", 0, 3)
    assert row["baseline_bytes"] == 50 * MB - 1
    assert row["peak_load_bytes"] == row["peak_bytes"] == 99 * MB
    assert row["loaded_bytes"] == 99 * MB - 1
    assert row["peak_run_bytes"] == 80 * MB
    assert row["peak_spread"] == pytest.approx(108 / 90 - 1)
    assert (row["load_ms"], row["first_run_ms"]) == (99.0, 70.0)
    assert row["load_spread"] == pytest.approx(0.2)
    assert row["peak_default_bytes"] == 120 * MB
    assert row["file_bytes"] == len(net(8))
    assert child.settings == [dict(MALLOC)] * 3 + [{}]
    json.dumps(row, allow_nan=False)


def test_of_steady_runs_the_highest_counts(tmp_path, host, net) -> None:
    class Twice(FakeChild):
        def __call__(self, *arguments: Any) -> tuple[int, str, str]:
            code, out, err = super().__call__(*arguments)
            return code, out + "\n" + out.splitlines()[-1].replace("80000000", "60000000"), err

    assert memory_row(job_of(tmp_path, host, net(8)), "net", Twice(STAGES))["peak_run_bytes"] == 80 * MB


def test_without_a_reset_the_peak_of_the_run_is_unknown(tmp_path, host, net) -> None:
    row = memory_row(job_of(tmp_path, host, net(8)), "net", FakeChild(STAGES, fresh=False))
    assert row["peak_run_bytes"] is None
    assert row["peak_bytes"] == 90 * MB


@pytest.mark.parametrize(
    ("child", "error", "message"),
    [
        (
            FakeChild({"import": 50.0, "load": 90.0}, code=-signal.SIGKILL),
            TargetError,
            r"memory of net: the device is out of memory after stage 'load'; it held 90 MB at most by then",
        ),
        (
            FakeChild(
                {"import": 50.0}, code=3, err="error: onnxruntime cannot load the model: std::bad_alloc"
            ),
            TargetError,
            r"out of memory after stage 'import'",
        ),
        (FakeChild({}, code=-signal.SIGSEGV), TargetError, r"ended with code -11 before its first stage"),
        (FakeChild({"import": 50.0}, code=124), TargetError, r"not finished in 300 s"),
        (
            FakeChild({"import": 50.0}, code=3, err="error: no model"),
            DamagedFileError,
            "memory of net: no model",
        ),
        (FakeChild({"import": 50.0, "load": 60.0}), TargetError, r"ended with code 0 after stage 'load'"),
    ],
)
def test_a_process_that_dies_is_explained(tmp_path, host, net, child, error, message) -> None:
    with pytest.raises(error, match=message):
        memory_row(job_of(tmp_path, host, net(8)), "net", child)


@pytest.mark.slow
def test_a_big_tensor_is_seen_by_a_fresh_process(tmp_path, host) -> None:
    # 208 channels of 256 x 256 floats are 54.5 MB. The first run puts them in a region of 64 MiB and the
    # pooled values in the next; the block for all of them, from the second run on, takes the lower: the next.
    tensor_bytes = 208 * 256 * 256 * 4
    row = memory_row(job_of(tmp_path, host, wide_net(208, 256)), "net")
    grown_bytes = row["peak_run_bytes"] - row["loaded_bytes"]
    assert grown_bytes == pytest.approx(2 * tensor_bytes, rel=0.12)
    assert row["peak_bytes"] == row["peak_run_bytes"] > row["peak_load_bytes"]
    assert row["peak_spread"] < 0.02
    assert 20 * MB < row["baseline_bytes"] < row["loaded_bytes"]
    assert row["load_ms"] > 0 and row["first_run_ms"] > 0
    assert row["source"] == "/proc/self/status"


@pytest.mark.slow
def test_the_profiler_writes_memory_rows(tmp_path, host, net) -> None:
    job = job_of(tmp_path, host, net(8))
    done = subprocess.run(
        [sys.executable, "-m", "profilers", str(job.folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [(r["kind"], r["key"]) for r in read_rows(job.rows_path)] == [("memory", "net")]


def test_what_cannot_be_loaded_is_named(tmp_path, host) -> None:
    with pytest.raises(DamagedFileError, match="memory of net: onnxruntime cannot load the model"):
        memory_row(job_of(tmp_path, host, b"no network"), "net")


def test_a_process_without_memory_says_so(tmp_path, host) -> None:
    """A real limit on address space: the run needs 260 MB more than loading does."""
    resource = pytest.importorskip("resource", reason="this system has no limits on the memory of a process")

    def limited(arguments: Sequence[str], malloc: Mapping[str, str], limit_s: float) -> tuple[int, str, str]:
        code = (
            "import resource, sys; from profilers.memory_child import main; import profilers.session;"
            "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize();"
            f"resource.setrlimit(resource.RLIMIT_AS, (used + {100 * MB}, -1)); sys.exit(main(sys.argv[1:]))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, done.stderr

    assert resource.RLIMIT_AS
    with pytest.raises(TargetError, match=r"out of memory after stage 'load'; it held \d+ MB"):
        memory_row(job_of(tmp_path, host, wide_net(1000, 256)), "net", limited)


def test_settings_of_the_allocator_are_those_asked_for(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "9")
    seen: dict[str, str] = {}

    def fake(command: Sequence[str], **options) -> subprocess.CompletedProcess[str]:
        seen.update(options["env"])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", fake)
    assert run_child(["model"], MALLOC, 1.0) == (0, "", "")
    assert {k: v for k, v in seen.items() if k.startswith("MALLOC_")} == dict(MALLOC)
    assert run_child(["model"], {}, 1.0)[0] == 0


def test_the_status_of_a_process_is_read(tmp_path) -> None:
    (tmp_path / "status").write_text("Name:\tx\nVmHWM:\t   200 kB\nVmRSS:\t    100 kB\n")
    memory = ProcResident(tmp_path)
    assert memory.read() == (102400, 204800)
    assert memory.reset() is True
    assert (tmp_path / "clear_refs").read_text() == "5"
    (tmp_path / "clear_refs").unlink()
    (tmp_path / "clear_refs").mkdir()  # stands for a system that refuses
    assert memory.reset() is False
    (tmp_path / "status").write_text("Name:\tx\n")
    with pytest.raises(TargetError, match="has no VmRSS"):
        memory.read()


def test_getrusage_stands_in_where_there_is_no_proc(monkeypatch, tmp_path) -> None:
    memory = resident(tmp_path)
    assert type(memory) is Resident
    now, peak = memory.read()
    assert now == peak > MB
    assert memory.reset() is False
    monkeypatch.setitem(sys.modules, "resource", None)
    with pytest.raises(TargetError, match="both missing"):
        resident(tmp_path)
