"""The executor of a Dask cluster: tasks go out as JSON and files, results come back as files.

Only `dask_work.do_task` is ever called there. The death of a worker is the scheduler's matter, which gives
its tasks to others; a worker that is not like this machine is left out, with the reason.
"""

from __future__ import annotations

import copy
import itertools
import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from targets.errors import ConnectionLostError, HwnasError, TargetError
from targets.files import sha256

from .cluster_file import Cluster
from .dask_work import DONE, REFUSED, describe, do_task
from .packing import pack, unpack, write_files
from .task import Done, ExecutorTask, Failed, OnProgress, Progress, TaskOutcome
from .versions import difference, versions

_CHECK_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class _Flight:
    """A task that was given to the cluster. worker: the one that has to do it; None: any."""

    task: ExecutorTask
    on_progress: OnProgress
    worker: str | None = None
    future: Future[TaskOutcome] = field(default_factory=Future)


class DaskExecutor:
    """Gives tasks to the workers of `client`, of which some have to be there. log: gets warnings."""

    def __init__(self, client: Any, cluster: Cluster, log: Callable[[str], None]) -> None:
        self._client, self._cluster, self._log = client, cluster, log
        self._place: dict[str, Any] = {"paths": dict(cluster.paths)}
        self._topic = f"hwnas-{uuid.uuid4().hex}"
        self._flights: dict[int, tuple[_Flight, Any]] = {}
        self._numbers = itertools.count()
        self._refused: dict[str, str] = {}
        self._checked_s, self._alone = time.monotonic(), False
        client.subscribe_topic(self._topic, self._hear)

    @property
    def address(self) -> str:
        """Of the scheduler."""
        return str(self._client.scheduler.address)

    @property
    def n_workers(self) -> int:
        """Tasks that are done at a time: the threads of the workers that were not refused."""
        workers = self._workers()
        return sum(int(workers[address]["nthreads"]) for address in self._allowed())

    def wait(self) -> None:
        """Wait for the first worker, and look at all: version and resources."""
        try:
            self._client.wait_for_workers(1, timeout=self._cluster.wait_s)
        except TimeoutError:
            raise TargetError(
                f"no worker has come to the scheduler at {self.address} in {self._cluster.wait_s:g} s; start "
                "some with `dask worker` (docs/scaling.md)"
            ) from None
        answers = self._client.run(describe, on_error="return")
        for worker, answer in answers.items():
            if isinstance(answer, BaseException):
                self._refuse(worker, f"hwnas does not run there ({answer})")
            elif (reason := difference(json.loads(answer)["versions"], versions())) is not None:
                self._refuse(worker, reason)
            elif (lacks := self._lacks(worker)) is not None:
                self._refuse(worker, lacks)
        self._require_some()

    def require(self, place: Mapping[str, Any], probe: ExecutorTask) -> None:
        """From now on a worker has to be like `place` (`TaskContext`); all do `probe`, which looks."""
        self._place |= place
        flights = [_Flight(probe, _unheard, worker) for worker in self._allowed()]
        for flight in flights:
            self._fly(flight)
        for flight in flights:
            flight.future.result()
        self._require_some()

    def submit(self, task: ExecutorTask, on_progress: OnProgress) -> Future[TaskOutcome]:
        """Give a task to the cluster."""
        flight = _Flight(task, on_progress)
        self._fly(flight)
        return flight.future

    def width(self, tasks: Sequence[ExecutorTask]) -> int:
        """All: the scheduler gives them out, to workers that come later too."""
        return len(tasks)

    def check(self) -> None:
        """Say where there is no worker; ConnectionLostError without a scheduler."""
        if self._client.status not in ("running", "connecting"):
            raise self._lost()
        if time.monotonic() - self._checked_s < _CHECK_EVERY_S:
            return
        self._checked_s = time.monotonic()
        alone = not self._workers()
        if alone and not self._alone:
            self._log(f"the scheduler at {self.address} has no worker; waiting for one (Ctrl-C stops)")
        self._alone = alone

    def abort(self) -> None:
        """Take back what was given out; a worker ends what nobody waits for."""
        flights, self._flights = self._flights, {}
        if flights and self._client.status == "running":
            self._client.cancel([future for _, future in flights.values()], force=True)

    def _workers(self) -> dict[str, Any]:
        workers: dict[str, Any] = self._client.scheduler_info(n_workers=-1)["workers"]
        return workers

    def _allowed(self) -> list[str]:
        return [worker for worker in self._workers() if worker not in self._refused]

    def _fly(self, flight: _Flight) -> None:
        number = next(self._numbers)
        order, inputs = self._order(flight.task, number)
        some = flight.worker is not None or bool(self._refused)
        allowed = [flight.worker] if flight.worker is not None else self._allowed()
        future = self._client.submit(
            do_task,
            order,
            inputs,
            key=(f"{flight.task.kind}-{self._topic}", number),
            pure=False,
            retries=self._cluster.retries,
            resources={**self._cluster.resources, **flight.task.resources} or None,
            workers=allowed if some else None,
            allow_other_workers=some,  # else a task would wait for ever for one that died
        )
        self._flights[number] = (flight, future)
        future.add_done_callback(lambda future: self._land(number, future))

    def _order(self, task: ExecutorTask, number: int) -> tuple[str, bytes]:
        """A task as text, and the files that go along."""
        document, inputs, files = copy.deepcopy(dict(task.document)), dict[str, bytes](), []
        for keys in task.files:
            *outer, last = keys
            values = document
            for key in outer:
                values = values[key]
            raw = Path(values[last]).read_bytes()
            values[last] = sha256(raw)  # the same wherever the file lies
            inputs[values[last]] = raw
            files.append([list(keys), values[last]])
        order = {
            "kind": task.kind,
            "name": task.name,
            "document": document,
            "folder": task.folder.name,
            "files": files,
            "place": dict(self._place),
            "versions": versions(),
            "topic": self._topic,
            "number": number,
        }
        return json.dumps(order, allow_nan=False), pack({}, inputs)

    def _land(self, number: int, future: Any) -> None:
        """The cluster is done with a task. Called from a thread of Dask."""
        entry = self._flights.pop(number, None)
        if entry is None or entry[0].future.done():  # taken back, or a callback raised
            return
        flight, _ = entry
        try:
            outcome = self._outcome(flight, future)
        except BaseException as error:  # the edge of the thread: whoever waits raises it
            flight.future.set_exception(error)
        else:
            if outcome is not None:
                flight.future.set_result(outcome)

    def _outcome(self, flight: _Flight, future: Any) -> TaskOutcome | None:
        """None where another worker has to do it."""
        if future.status == "error":
            return Failed(reason_of(future.exception()))
        if future.status != "finished":
            raise self._lost()
        facts, files = unpack(future.result())
        if facts["outcome"] == DONE:
            write_files(flight.task.folder, files)
            return Done()
        if facts["outcome"] != REFUSED:
            return Failed(facts["reason"])
        self._refuse(facts["worker"], facts["reason"])
        if flight.worker is not None:
            return Done()
        self._require_some()
        self._fly(flight)
        return None

    def _hear(self, event: tuple[float, Mapping[str, Any]]) -> None:
        """A worker told how far a task is. Called in the event loop of Dask, which must not wait."""
        message = event[1]
        entry = self._flights.get(message["number"])
        if entry is None:
            return
        flight, _ = entry
        try:
            flight.on_progress(Progress(flight.task.name, message["share"], message["pid"]))
        except BaseException as error:  # of a callback: whoever waits raises it
            if not flight.future.done():
                flight.future.set_exception(error)

    def _refuse(self, worker: str, reason: str) -> None:
        if worker not in self._refused:
            self._refused[worker] = reason
            self._log(f"worker {worker} is left out: {reason}")

    def _require_some(self) -> None:
        """TargetError where every worker was refused."""
        if not self._allowed() and (reasons := list(self._refused.values())):
            raise TargetError(
                f"no worker of the scheduler at {self.address} can be used: {reasons[-1]}; give all the same "
                "hwnas and the same images (docs/scaling.md)"
            )

    def _lacks(self, worker: str) -> str | None:
        """The resources that a task takes and a worker has not, in words."""
        offered = self._workers().get(worker, {}).get("resources", {})
        lacking = [f"{k}={v:g}" for k, v in self._cluster.resources.items() if offered.get(k, 0) < v]
        wanted = ",".join(lacking)
        return f"it offers no {wanted}; start it with --resources '{wanted}'" if lacking else None

    def _lost(self) -> HwnasError:
        return ConnectionLostError(
            f"the scheduler at {self.address} is gone; what was done is kept. Start it and its workers "
            "again, then go on with --resume"
        )


def reason_of(error: BaseException) -> str:
    """Why the cluster gave a task up."""
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        return f"{error.allowed_failures + 1} workers died of it (out of memory?)"
    return f"{type(error).__name__}: {error}"


def _unheard(progress: Progress) -> None:
    """For tasks whose progress nobody follows."""
