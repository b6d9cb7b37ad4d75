"""What every executor does: tasks as JSON in, files out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from targets.errors import HwnasError, UsageError, did_you_mean

WORK = {
    "training": "hwnas.training.tasks:do_training",
    "data": "hwnas.training.tasks:check_data",
    "federated-training": "hwnas.federated.local:train_part",
    "federated-score": "hwnas.federated.local:score_part",
    "federated-sizes": "hwnas.federated.local_supernet:size_of_part",
    "federated-supernet": "hwnas.federated.local_supernet:train_part",
    "sleep": "hwnas.executors.sleep:sleep",
}
"""What tasks can be: the function of each, a `TaskFunction`. Nothing else is ever called by name."""


class RefusedError(HwnasError):
    """This worker cannot do the task, which another one may: it has other data, or another version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorTask:
    """Work that any process can do.

    kind: a row of `WORK`.
    name: for messages and progress.
    document: what the work is, as JSON.
    folder: where its files go.
    files: keys into `document` whose values are paths of files that go along with the task.
    memory_bytes: estimates what it takes of this machine's memory.
    device: where it computes, as torch spells it; `cuda` is any card.
    device_bytes: estimates what it takes of that card's memory.
    resources: that the worker of a cluster has to offer, beside those that all tasks take.
    """

    kind: str
    name: str
    document: Mapping[str, Any]
    folder: Path
    files: Sequence[Sequence[str]] = ()
    memory_bytes: Callable[[], int] = lambda: 0
    device: str = "cpu"
    device_bytes: Callable[[], int] = lambda: 0
    resources: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """What a task is at. name: of the task; share: 0..1 of it; pid: of the process that does it."""

    name: str
    share: float
    pid: int


@dataclass(frozen=True, slots=True)
class Done:
    """The files of the task are in its folder."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A task that leaves nothing, and why. out_of_memory: of this machine or of its device."""

    reason: str
    out_of_memory: bool = False


TaskOutcome = Done | Failed
OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskContext:
    """Where a task is done, and who hears of it.

    place: what the machine has to be like, as JSON: the `data` that it has, `paths` that lie elsewhere there.
    on_step: called with (steps done, all steps).
    log: gets warnings.
    """

    place: Mapping[str, Any]
    on_step: Callable[[int, int], None]
    log: Callable[[str], None]


TaskFunction = Callable[[Mapping[str, Any], Path, TaskContext], None]
"""`work(document, folder, context)`: does what the document says, and writes its files into the folder."""


class Executor(Protocol):
    """Does tasks, as `concurrent.futures.Executor` does calls."""

    def submit(self, task: ExecutorTask, on_progress: OnProgress) -> Future[TaskOutcome]:
        """Begin a task. on_progress: called from other threads; what it raises, the future raises."""
        ...

    def width(self, tasks: Sequence[ExecutorTask]) -> int:
        """How many of these tasks are given to it at a time."""
        ...

    def check(self) -> None:
        """Called several times a second while tasks are waited for; raises where no results can come."""
        ...

    def abort(self) -> None:
        """End all tasks that were begun."""
        ...


def work_of(kind: str) -> TaskFunction:
    """The function of a row of `WORK`."""
    if kind not in WORK:
        raise UsageError(f"unknown kind of task {kind!r}; {did_you_mean(kind, WORK)}")
    module, _, name = WORK[kind].partition(":")
    function: TaskFunction = getattr(import_module(module), name)
    return function
