"""What every executor has to do, with tasks that only sleep."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from hwnas.executors import Done, Executor, ExecutorTask, Failed, Progress, run_all


def sleeping(folder: Path, name: str, seconds: float = 0.1, **document: Any) -> ExecutorTask:
    """A task that sleeps; its folder is named like it."""
    files = [["read"]] if "read" in document else []
    return ExecutorTask(
        kind="sleep",
        name=name,
        document={"seconds": seconds, **document},
        folder=folder / name,
        files=files,
    )


def result(task: ExecutorTask) -> dict[str, Any]:
    """What a sleeping task left."""
    loaded: dict[str, Any] = json.loads((task.folder / "result.json").read_text())
    return loaded


class ExecutorContract:
    """Inherit, and give a fixture `executor` of two workers."""

    def test_all_tasks_are_done_and_leave_their_files(self, executor: Executor, tmp_path: Path) -> None:
        (tmp_path / "hello.txt").write_text("hello")
        tasks = [sleeping(tmp_path, f"t{i}", read=str(tmp_path / "hello.txt")) for i in range(5)]
        shares: dict[str, float] = {}
        done: list[int] = []

        def note(progress: Progress) -> None:
            shares[progress.name] = progress.share

        outcomes = run_all(tasks, executor, on_progress=note, on_done=lambda i, outcome: done.append(i))
        assert outcomes == [Done()] * 5 and sorted(done) == list(range(5))
        assert all(result(task)["text"] == "hello" for task in tasks)
        assert set(shares) <= {f"t{i}" for i in range(5)}

    def test_what_fails_says_why_and_leaves_the_others(self, executor: Executor, tmp_path: Path) -> None:
        bad = ExecutorTask(kind="sleep", name="bad", document={}, folder=tmp_path / "bad")
        unknown = ExecutorTask(kind="os.system", name="unknown", document={}, folder=tmp_path / "unknown")
        good = sleeping(tmp_path, "good")
        first, second, third = run_all([bad, unknown, good], executor)
        assert isinstance(first, Failed) and "KeyError: 'seconds'" in first.reason
        assert isinstance(second, Failed) and "unknown kind of task 'os.system'" in second.reason
        assert third == Done() and result(good)

    def test_an_exception_in_a_callback_ends_all(self, executor: Executor, tmp_path: Path) -> None:
        def stop(progress: Progress) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run_all([sleeping(tmp_path, "long", seconds=60)], executor, on_progress=stop)
        assert run_all([sleeping(tmp_path, "next")], executor) == [Done()]  # it takes tasks again

    def test_a_process_that_is_killed_costs_its_task_a_second_try(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        starts = tmp_path / "starts"
        killed: list[int] = []

        def kill_once(progress: Progress) -> None:
            if not killed:
                killed.append(progress.pid)
                os.kill(progress.pid, signal.SIGKILL)

        task = sleeping(tmp_path, "one", seconds=0.6, starts=str(starts))
        assert run_all([task], executor, on_progress=kill_once) == [Done()]
        pids = starts.read_text().split()
        assert len(pids) == 2 and pids[0] == str(killed[0]) and result(task)["pid"] == int(pids[1])
