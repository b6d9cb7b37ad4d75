"""A Dask cluster of real processes with TLS on the loopback: its workers die, differ, or may not come in."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distributed
import pytest

import hwnas
from hwnas.executors import Done, Executor, Progress, run_all
from hwnas.executors.cluster_file import Cluster, Tls
from hwnas.executors.clusters import open_cluster
from hwnas.executors.dask_executor import DaskExecutor, reason_of
from targets.errors import ConnectionLostError, TargetError, UsageError
from tests.support.certificates import make_certificates
from tests.support.executors import ExecutorContract, sleeping
from tests.support.loopback import Server, free_port, loopback_server

pytestmark = pytest.mark.slow
ROOT = Path(hwnas.__file__).parents[1]


class Grid:
    """A cluster of two workers, and what a test needs to know of it."""

    def __init__(self, address: str, tls: Tls | None) -> None:
        assert tls is not None
        self.address, self.tls, self.said = address, tls, list[str]()
        self.cluster = Cluster(address=address, tls=tls)
        self.executor: DaskExecutor

    def client(self) -> distributed.Client:
        security = distributed.Security(
            tls_ca_file=self.tls.ca, tls_client_cert=self.tls.cert, tls_client_key=self.tls.key
        )
        return distributed.Client(self.address, security=security, set_as_default=False)

    def start_worker(self, root: Path = ROOT, *options: str) -> subprocess.Popen[bytes]:
        """One worker more, of the hwnas in `root`."""
        files = ["--tls-ca-file", self.tls.ca, "--tls-cert", self.tls.cert, "--tls-key", self.tls.key]
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", *options)
        return subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_worker", self.address, *files, *options],
            env={**os.environ, "PYTHONPATH": str(root)},
            cwd=root,
            stderr=subprocess.DEVNULL,
        )


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    tls = Tls(**make_certificates(tmp_path_factory.mktemp("tls")))
    said: list[str] = []
    with open_cluster(Cluster(kind="local", workers=2, tls=tls), said.append) as executor:
        grid = Grid(executor.address, tls)
        grid.executor, grid.said = executor, said
        yield grid


@pytest.fixture
def executor(grid: Grid) -> Executor:
    return grid.executor


class TestDaskExecutor(ExecutorContract):
    pass


def _wait_for(condition: Any, what: str, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.1)


def test_a_worker_that_is_killed_costs_its_task_a_second_try_and_the_others_nothing(
    grid: Grid, tmp_path: Path
) -> None:
    with grid.client() as client:
        pids = client.run(os.getpid)
        assert len(pids) == 2
        killed: list[str] = []

        def kill_worker(progress: Progress) -> None:
            if not killed and progress.share < 1:  # whose child does the task
                parent = Path(f"/proc/{progress.pid}/stat").read_text().rsplit(")", 1)[1].split()[1]
                assert int(parent) in pids.values()
                killed.append(progress.name)
                os.kill(int(parent), signal.SIGKILL)

        tasks = [
            sleeping(tmp_path, f"t{i}", seconds=1.0, starts=str(tmp_path / f"starts{i}")) for i in range(4)
        ]
        assert run_all(tasks, grid.executor, on_progress=kill_worker) == [Done()] * 4
        times = {f"t{i}": len((tmp_path / f"starts{i}").read_text().split()) for i in range(4)}
        assert killed and times == {task.name: 2 if task.name == killed[0] else 1 for task in tasks}
        _wait_for(lambda: len(client.scheduler_info(n_workers=-1)["workers"]) == 2, "no new worker came")


def test_a_task_that_nobody_waits_for_is_ended(grid: Grid, tmp_path: Path) -> None:
    pids: list[int] = []

    def stop(progress: Progress) -> None:
        pids.append(progress.pid)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all([sleeping(tmp_path, "long", seconds=600)], grid.executor, on_progress=stop)
    _wait_for(lambda: not Path(f"/proc/{pids[0]}").exists(), "its process lives on", 20)


def test_a_worker_of_another_source_is_left_out_with_the_reason(grid: Grid, tmp_path: Path) -> None:
    for package in ("hwnas", "targets", "lut", "profilers"):
        shutil.copytree(ROOT / package, tmp_path / "other" / package, ignore=shutil.ignore_patterns("__pyc*"))
    (tmp_path / "other/hwnas/core/one_more.py").write_text("A = 1\n")
    with grid.client() as client, grid.start_worker(tmp_path / "other", "--name", "other") as worker:
        try:
            client.wait_for_workers(3, timeout=60)
            said: list[str] = []
            with open_cluster(grid.cluster, said.append) as second:  # which looks at all of them
                assert len(said) == 1 and "left out: its hwnas" in said[0] and "another source" in said[0]
                assert second.n_workers == 2
                tasks = [sleeping(tmp_path, f"a{i}") for i in range(6)]
                assert run_all(tasks, second) == [Done()] * 6
            # One that came later is noticed when it gets a task.
            tasks = [sleeping(tmp_path, f"b{i}", seconds=0.3) for i in range(9)]
            assert run_all(tasks, grid.executor) == [Done()] * 9
            assert any("another source" in line for line in grid.said)
        finally:
            worker.kill()


def test_a_task_that_kills_its_workers_has_failed() -> None:
    nobody: Any = None
    error = distributed.KilledWorker("task", last_worker=nobody, allowed_failures=2)
    assert reason_of(error) == "3 workers died of it (out of memory?)"


def test_who_has_no_certificate_or_another_one_stays_outside(grid: Grid, tmp_path: Path) -> None:
    address = grid.address
    with (
        pytest.raises(UsageError, match="needs certificates; give a TOML file with"),
        open_cluster(Cluster(address=address), grid.said.append),
    ):
        raise AssertionError("it came in")
    other = Tls(**make_certificates(tmp_path / "other"))
    with (
        pytest.raises(TargetError, match=r"cannot be reached .*your certificate is of its authority"),
        open_cluster(Cluster(address=address, tls=other), grid.said.append),
    ):
        raise AssertionError("it came in")
    plain = address.replace("tls://", "tcp://")
    with (
        pytest.raises(TargetError, match="cannot be reached"),
        open_cluster(Cluster(address=plain), grid.said.append),
    ):
        raise AssertionError("it came in")


def test_resources_that_no_worker_offers_are_said_at_once(grid: Grid) -> None:
    cluster = Cluster(address=grid.address, tls=grid.tls, resources={"GPU": 1})
    with (
        pytest.raises(TargetError, match=r"no worker .* can be used: it offers no GPU=1; start it with"),
        open_cluster(cluster, grid.said.append),
    ):
        raise AssertionError("it began")


def test_the_end_of_the_scheduler_is_one_clear_error(tmp_path: Path) -> None:
    files = make_certificates(tmp_path / "tls")
    tls = ["--tls-ca-file", files["ca"], "--tls-cert", files["cert"], "--tls-key", files["key"]]
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    command += [*tls, "--protocol", "tls", "--no-dashboard", "--scheduler-file", str(tmp_path / "file.json")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as scheduler:
        try:
            _wait_for((tmp_path / "file.json").exists, "no scheduler")
            address = json.loads((tmp_path / "file.json").read_text())["address"]
            lonely = Cluster(address=address, tls=Tls(**files), wait_s=0.5)
            with (
                pytest.raises(TargetError, match=r"no worker has come .* in 0.5 s; start some"),
                open_cluster(lonely, print),
            ):
                raise AssertionError("it began")
            grid = Grid(address, lonely.tls)
            with grid.start_worker() as worker, open_cluster(grid.cluster, print) as executor:
                try:
                    _lose_the_scheduler(executor, scheduler, tmp_path)
                finally:
                    worker.kill()
        finally:
            scheduler.kill()


def _lose_the_scheduler(executor: DaskExecutor, scheduler: subprocess.Popen[bytes], folder: Path) -> None:
    tasks = [sleeping(folder, "short"), sleeping(folder, "long", seconds=600)]

    def kill(progress: Progress) -> None:
        if progress.name == "long":
            scheduler.kill()

    with pytest.raises(ConnectionLostError, match=r"is gone; what was done is kept.*go on with --resume"):
        run_all(tasks, executor, on_progress=kill)
    assert (tasks[0].folder / "result.json").exists()


# As sbatch does, it has read the script when it returns: dask-jobqueue deletes the file then.
SBATCH = """#!/bin/sh
for last; do :; done
script=$(cat "$last")
setsid sh -c "$script" >/dev/null 2>&1 &
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
for job; do kill -- "-$job" 2>/dev/null; done
exit 0
"""


def test_a_slurm_cluster_is_started_for_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):  # as SLURM's, on this machine
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.chdir(ROOT)
    tls = Tls(**make_certificates(tmp_path / "tls"))
    # A worker of a loaded machine takes minutes to begin; by itself it would give up after one.
    slurm = {"memory": "1GB", "queue": "main", "death_timeout": 600}
    slurm["scheduler_options"] = {"host": "127.0.0.1"}
    cluster = Cluster(kind="slurm", workers=1, tls=tls, slurm=slurm, wait_s=240)
    with open_cluster(cluster, print) as executor:
        assert executor.address.startswith("tls://") and executor.n_workers == 1
        task = sleeping(tmp_path, "a")
        assert run_all([task], executor) == [Done()]
    assert (task.folder / "result.json").exists()


def test_options_that_the_engine_of_a_cluster_does_not_take_are_refused(tmp_path: Path) -> None:
    tls = Tls(**make_certificates(tmp_path / "tls"))
    wrong = Cluster(kind="slurm", workers=1, tls=tls, slurm={"que": "main"})
    with pytest.raises(UsageError, match=r"unknown key 'que' of \[slurm\]; .*did you mean 'queue'"):
        _open(wrong)
    with loopback_server(tmp_path) as server:
        off = {**_ssh_options(server, tmp_path), "hosts": ["127.0.0.1", "127.0.0.1"]}
        off["connect_options"] = {**off["connect_options"], "port": free_port()}
        with pytest.raises(TargetError, match=r"ssh cannot start the cluster on 127.0.0.1, 127.0.0.1"):
            _open(Cluster(kind="ssh", tls=tls, ssh=off))


def _open(cluster: Cluster) -> None:
    with open_cluster(cluster, print):
        pass


def _ssh_options(server: Server, folder: Path) -> dict[str, Any]:
    """This machine as two hosts behind a real ssh server, with the hwnas that is tested."""
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    connect = {
        "port": server.port,
        "client_keys": [str(server.identity)],
        "known_hosts": str(server.known_hosts),
        "config": [],
    }
    return {
        "hosts": ["127.0.0.1", "127.0.0.1"],
        "connect_options": connect,
        "remote_python": str(python),
        "scheduler_options": {"host": "127.0.0.1"},
    }


def test_an_ssh_cluster_is_started_for_the_run(tmp_path: Path) -> None:
    tls = Tls(**make_certificates(tmp_path / "tls"))
    with loopback_server(tmp_path) as server:
        ssh = _ssh_options(server, tmp_path)
        with open_cluster(Cluster(kind="ssh", tls=tls, ssh=ssh, wait_s=600), print) as executor:
            assert executor.address.startswith("tls://127.0.0.1:") and executor.n_workers == 1
            task = sleeping(tmp_path, "a")
            assert run_all([task], executor) == [Done()]
    assert (task.folder / "result.json").exists()
