"""The bound on training processes: closed forms of small networks, and the peak of a real step."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import hwnas
from hwnas.executors.memory import PROCESS_BYTES, USABLE_SHARE, affordable, available_bytes
from hwnas.training.memory import saved_bytes, task_bytes, training_bytes
from hwnas.training.training_job import TrainingJob

SIDE_PX = 64


def _job(job_id: str = "a", **changes: Any) -> TrainingJob:
    network = {
        "baseline": "mobilenet_v3_small",
        "width": 0.5,
        "image_size": SIDE_PX,
        "in_channels": 3,
        "n_classes": 10,
    }
    fields = {"network": network, "data": {}, "recipe": {"epochs": 1, "batch_size": 64, "lr": 0.1}, "seed": 0}
    return TrainingJob(job_id=job_id, **{**fields, **changes})


def test_saved_bytes_of_a_network_on_paper() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16 * 16, 10)
    )
    # The convolution keeps its input, ReLU its output, which is also what the linear layer keeps.
    assert saved_bytes(module, torch.zeros(2, 3, 16, 16)) == 2 * 4 * (3 + 8) * 16 * 16


_ONE_STEP = """
import torch
from hwnas.training.build import build_network
torch.set_num_threads(1)
module = build_network({network!r}).to(memory_format=torch.channels_last).train()
sgd = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
x = torch.zeros(256, 3, {side}, {side}).to(memory_format=torch.channels_last)
for _ in range(2):
    loss = torch.nn.functional.cross_entropy(module(x), torch.zeros(256, dtype=torch.int64))
    sgd.zero_grad()
    loss.backward()
    sgd.step()
rows = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(*(int(rows[name].split()[0]) for name in ("VmHWM", "RssFile")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
def test_the_estimate_is_above_the_peak_of_a_real_step_and_not_far_off() -> None:
    job = _job(recipe={"epochs": 1, "batch_size": 256, "lr": 0.1})
    done = subprocess.run(
        [sys.executable, "-c", _ONE_STEP.format(network=dict(job.network), side=SIDE_PX)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(hwnas.__file__).parent.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    peak_kb, libraries_kb = map(int, done.stdout.split())
    peak_bytes = 1024 * (peak_kb - libraries_kb)
    assert peak_bytes < training_bytes(job) < 1.7 * peak_bytes


def test_the_estimate_grows_with_the_batch_and_leaves_the_generator_alone() -> None:
    before = torch.get_rng_state()
    small, large = (training_bytes(_job(recipe={"epochs": 1, "batch_size": n, "lr": 0.1})) for n in (64, 128))
    empty = training_bytes(_job(recipe={"epochs": 1, "batch_size": 0, "lr": 0.1}))
    assert large - small == pytest.approx(small - empty, abs=2)
    assert torch.equal(torch.get_rng_state(), before)


def test_as_many_workers_as_fit_beside_each_other() -> None:
    jobs, told = [_job(str(i)) for i in range(4)], list[str]()
    needs = [task_bytes(job) for job in jobs]
    one = training_bytes(jobs[0]) / USABLE_SHARE
    assert affordable(needs, 4, int(2.5 * one), told.append) == 2
    assert "2 instead of 4 trainings run side by side" in told[0]
    assert affordable(needs, 4, int(0.5 * one), told.append) == 1
    assert len(told) == 2
    assert affordable(needs, 4, int(4.1 * one), told.append) == 4
    assert affordable(needs, 4, None, told.append) == 4
    assert len(told) == 2


def test_a_job_that_cannot_be_built_is_left_to_its_worker() -> None:
    jobs = [_job("a", network={"baseline": "nothing"}), _job("b", recipe={})]
    assert [task_bytes(job) for job in jobs] == [PROCESS_BYTES, PROCESS_BYTES]


def _files(root: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_available_memory_is_the_least_of_system_and_control_group(tmp_path: Path) -> None:
    assert available_bytes(tmp_path) is None
    _files(tmp_path, proc__meminfo="MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    assert available_bytes(tmp_path) == 8000 * 1024
    group = "sys__fs__cgroup__memory_DOT_"
    _files(tmp_path, **{f"{group}max": "max", f"{group}current": "5", f"{group}stat": "inactive_file 0\n"})
    assert available_bytes(tmp_path) == 8000 * 1024
    _files(
        tmp_path,
        **{f"{group}max": "6000", f"{group}current": "5000", f"{group}stat": "anon 1\ninactive_file 700\n"},
    )
    assert available_bytes(tmp_path) == 1700
    old = "sys__fs__cgroup__memory__memory_DOT_"
    _files(
        tmp_path,
        **{
            f"{old}limit_in_bytes": "900",
            f"{old}usage_in_bytes": "800",
            f"{old}stat": "total_inactive_file 0\n",
        },
    )
    assert available_bytes(tmp_path) == 100
