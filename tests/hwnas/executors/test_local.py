"""The executor of this machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from hwnas.executors import Done, Executor, LocalExecutor, run_all
from targets.errors import UsageError
from tests.support.executors import ExecutorContract, result, sleeping


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with LocalExecutor(2) as local:
        yield local


class TestLocal(ExecutorContract):
    pass


def test_processes_are_kept_for_the_next_tasks(tmp_path: Path) -> None:
    with LocalExecutor(1) as local:
        first, second = sleeping(tmp_path, "a"), sleeping(tmp_path, "b")
        assert run_all([first], local) == run_all([second], local) == [Done()]
        assert result(first)["pid"] == result(second)["pid"] and local.n_idle == 1


def test_no_process_is_too_few() -> None:
    with pytest.raises(UsageError, match="0 training processes; allowed: 1 or more"):
        LocalExecutor(0)


def test_a_process_that_died_while_it_waited_costs_no_task_a_try(tmp_path: Path) -> None:
    said: list[str] = []
    with LocalExecutor(1, said.append) as local:
        first, second = sleeping(tmp_path, "a"), sleeping(tmp_path, "b")
        assert run_all([first], local) == [Done()]
        os.kill(pid := result(first)["pid"], signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert run_all([second], local) == [Done()] and result(second)["pid"] != pid and said == []
