"""Training processes: the same results whatever happens to the processes, and one clear reason otherwise."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

import hwnas
from hwnas.executors import LocalExecutor, Progress
from hwnas.training.training_job import Trained, TrainingFailed, TrainingJob, read_result, run_job
from hwnas.training.workers import run_many
from targets.errors import DamagedFileError, UsageError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    torch.set_num_threads(1)
    return {"spec": "digits", "image_size": 16, "seed": 0, "root": str(tmp_path_factory.mktemp("home"))}


def _job(data: dict[str, Any], job_id: str, **changes: Any) -> TrainingJob:
    space = {"name": "mobile", "image_size": 16, "in_channels": 1, "n_classes": 10, "width_mult": 0.25}
    network = {"space": space, "arch": "8:mb3e3/8:mb3e3/8:mb3e3/16:mb3e3/24:mb3e3"}
    recipe = {"epochs": 2, "batch_size": 128, "lr": 0.1}
    return TrainingJob(
        **{"job_id": job_id, "network": network, "data": data, "recipe": recipe, "seed": 1, **changes}
    )


LONG = {"epochs": 500, "batch_size": 128, "lr": 0.1}
"""A training that no worker ends before it is told to stop, or killed."""


def _same(a: Trained, b: Trained) -> bool:
    theirs = b.weights()
    return a.val_loss == b.val_loss and all(torch.equal(v, theirs[k]) for k, v in a.weights().items())


def _run(
    jobs: list[TrainingJob],
    folder: Path,
    n_workers: int,
    log: Callable[[str], None] = lambda text: None,
    **hears: Any,
) -> list[Trained | TrainingFailed]:
    with LocalExecutor(n_workers, log) as executor:
        return run_many(jobs, folder, executor, **hears)


def test_a_killed_worker_is_replaced_and_changes_nothing(data: dict[str, Any], tmp_path: Path) -> None:
    # Long enough that its worker is killed in the middle of it, however late this process hears of it.
    jobs = [_job(data, "one", recipe={"epochs": 8, "batch_size": 128, "lr": 0.1})]
    jobs += [_job(data, "two", seed=2), _job(data, "bad", recipe={"epochs": 0})]
    killed: list[int] = []
    told: list[str] = []

    def kill_first(progress: Progress) -> None:
        if progress.name == "one" and not killed:
            killed.append(progress.pid)
            os.kill(progress.pid, signal.SIGKILL)

    one, two, bad = _run(jobs, tmp_path / "a", 2, log=told.append, on_progress=kill_first)
    assert isinstance(one, Trained) and isinstance(two, Trained)
    assert killed and "one: the training process was ended by SIGKILL" in told[0]
    assert _same(one, run_job(jobs[0], tmp_path / "here"))
    assert isinstance(bad, TrainingFailed) and "batch_size" in bad.reason
    assert not (one.folder / "checkpoints").exists() or not list((one.folder / "checkpoints").iterdir())

    def no_more(progress: Progress) -> None:
        raise AssertionError("a finished job was trained again")

    again = _run(jobs[:2], tmp_path / "a", 1, on_progress=no_more)
    assert again == [one, two]
    assert not one.module().training


def test_a_job_that_kills_two_workers_has_failed(data: dict[str, Any], tmp_path: Path) -> None:
    def kill(progress: Progress) -> None:
        os.kill(progress.pid, signal.SIGKILL)

    (outcome,) = _run([_job(data, "one", recipe=LONG)], tmp_path, 1, on_progress=kill)
    assert isinstance(outcome, TrainingFailed)
    assert "SIGKILL (out of memory?), 2 times" in outcome.reason


def test_an_interrupt_ends_the_workers(data: dict[str, Any], tmp_path: Path) -> None:
    pids: list[int] = []

    def interrupt(progress: Progress) -> None:
        pids.append(progress.pid)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _run([_job(data, "one", recipe=LONG)], tmp_path, 1, on_progress=interrupt)
    with pytest.raises(ProcessLookupError):  # ended and reaped
        os.kill(pids[0], 0)


def test_a_worker_does_not_outlive_its_parent(data: dict[str, Any], tmp_path: Path) -> None:
    job = _job(data, "one", recipe=LONG)
    with subprocess.Popen(
        [sys.executable, "-m", "hwnas.executors.child_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(hwnas.__file__).parent.parent,
    ) as worker:
        assert worker.stdin and worker.stdout
        order = {
            "kind": "training",
            "document": asdict(job),
            "folder": str(job.folder(tmp_path)),
            "place": {},
        }
        print(json.dumps(order), file=worker.stdin, flush=True)
        assert json.loads(worker.stdout.readline())["event"] == "step"  # it is training
        worker.stdin.close()  # what the death of the parent does
        assert worker.wait(timeout=600) == 1


def test_a_cut_off_job_goes_on_from_its_checkpoint(data: dict[str, Any], tmp_path: Path) -> None:
    job = _job(data, "one")

    def stop(done: int, total: int) -> None:
        if done == total // 2 + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(job, tmp_path / "a", on_step=stop, save_every_s=0.0)
    assert read_result(job, tmp_path / "a") is None
    steps: list[int] = []
    resumed = run_job(job, tmp_path / "a", on_step=lambda done, total: steps.append(done))
    assert steps[0] == 1079 // 128 + 1
    assert _same(resumed, run_job(job, tmp_path / "b"))


def test_foreign_and_damaged_results_are_refused(data: dict[str, Any], tmp_path: Path) -> None:
    job = _job(data, "one", recipe={"epochs": 1, "batch_size": 512, "lr": 0.1})
    trained = run_job(job, tmp_path)
    assert read_result(job, tmp_path) == trained
    moved = _job({**data, "root": "/elsewhere"}, "one", recipe=job.recipe)
    assert read_result(moved, tmp_path) is not None
    with pytest.raises(DamagedFileError, match="another training"):
        read_result(_job(data, "one", seed=5, recipe=job.recipe), tmp_path)
    path = trained.folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedFileError, match="checksum"):
        read_result(job, tmp_path)


def test_short_memory_leaves_one_worker(
    data: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas.executors.local.available_bytes", lambda: 10**9)
    recipe = {"epochs": 1, "batch_size": 512, "lr": 0.1}
    pids: set[int] = set()
    told: list[str] = []
    jobs = [_job(data, str(seed), seed=seed, recipe=recipe) for seed in range(2)]
    outcomes = _run(jobs, tmp_path, 2, log=told.append, on_progress=lambda p: pids.add(p.pid))
    assert all(isinstance(outcome, Trained) for outcome in outcomes)
    assert len(pids) == 1 and "1 instead of 2 trainings" in told[0]


def test_two_jobs_cannot_share_a_folder(data: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="share a name"):
        _run([_job(data, "A b"), _job(data, "a-b")], tmp_path, 1)
    with pytest.raises(UsageError, match="0 training processes"):
        LocalExecutor(0)


def test_a_training_goes_on_from_weights_and_from_those_alone(data: dict[str, Any], tmp_path: Path) -> None:
    short = run_job(_job(data, "one"), tmp_path / "short")
    still = {"epochs": 1, "batch_size": 128, "lr": 1e-8, "momentum": 0.0, "weight_decay": 0.0}
    job = _job(data, "one", recipe=still, start=short.start)
    long = run_job(job, tmp_path / "long")
    # So small a rate changes nothing but the statistics of the norms.
    weights, before = long.weights(), short.weights()
    for name, tensor in weights.items():
        if "running" not in name and "batches" not in name:
            assert torch.allclose(tensor, before[name], atol=1e-5), name
    assert job.digest() != _job(data, "one", recipe=still).digest()
    assert read_result(job, tmp_path / "long") == long
    moved = dict(short.start, file=str(tmp_path / "elsewhere"))
    assert _job(data, "one", recipe=still, start=moved).digest() == job.digest()
    with pytest.raises(DamagedFileError, match=r"weights to start from: .*elsewhere"):
        run_job(_job(data, "two", recipe=still, start=moved), tmp_path / "long")
    (short.folder / "weights.safetensors").write_bytes(b"other")
    with pytest.raises(DamagedFileError, match="not as it was when the training was planned"):
        run_job(_job(data, "two", recipe=still, start=job.start), tmp_path / "long")


def test_weights_of_another_network_are_refused(data: dict[str, Any], tmp_path: Path) -> None:
    short = run_job(_job(data, "one"), tmp_path)
    network = dict(short.job.network, arch="8:mb5e6/8:mb3e3/8:mb3e3/16:mb3e3/24:mb3e3")
    (failed,) = _run([_job(data, "two", network=network, start=short.start)], tmp_path, 1)
    assert isinstance(failed, TrainingFailed) and "of another network" in failed.reason


def test_processes_that_are_kept_train_the_next_jobs(data: dict[str, Any], tmp_path: Path) -> None:
    pids: list[set[int]] = []

    def note(progress: Progress) -> None:
        pids[-1].add(progress.pid)

    with LocalExecutor(2) as workers:
        for name in ("a", "b"):
            pids.append(set())
            jobs = [_job(data, f"{name}{i}", seed=i) for i in range(2)]
            outcomes = run_many(jobs, tmp_path, workers, on_progress=note)
            assert all(isinstance(outcome, Trained) for outcome in outcomes)
        assert pids[1] and pids[1] <= pids[0] and workers.n_idle == len(pids[0])
        os.kill(next(iter(pids[0])), signal.SIGKILL)  # while nobody needs it
        (outcome,) = run_many([_job(data, "c")], tmp_path, workers)
        assert isinstance(outcome, Trained)
    for pid in pids[0]:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
