"""Many trainings side by side: one thread of computation per process, each process takes many jobs.

The result of a job does not depend on the process that trains it. Each result is written to the job's folder
at once, so a kill costs the jobs in flight only the time since their last checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from targets.errors import DamagedFileError, UsageError

from .memory import affordable_workers, available_bytes
from .training_job import Trained, TrainingFailed, TrainingJob, read_result

__all__ = ["Trained", "TrainingFailed", "TrainingJob", "TrainingProgress", "run_many"]

ATTEMPTS = 2
"""A worker may be killed because another took the memory; one that dies twice on a job dies of the job."""


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """What a worker is at. share: 0..1 of the job; pid: of the worker."""

    job_id: str
    share: float
    pid: int


def run_many(
    jobs: Sequence[TrainingJob],
    folder: Path,
    n_workers: int,
    *,
    on_progress: Callable[[TrainingProgress], None] = lambda progress: None,
    on_done: Callable[[Trained | TrainingFailed], None] = lambda outcome: None,
    log: Callable[[str], None] = lambda text: None,
) -> list[Trained | TrainingFailed]:
    """The outcome of each job, in the order of `jobs`; those done earlier are read from `folder`.

    Callbacks are called one at a time, from other threads; an exception in one ends all workers and is
    raised here, like Ctrl-C. There are fewer workers than `n_workers` where the memory is short (`memory`).
    """
    if n_workers < 1:
        raise UsageError(f"{n_workers} training processes; allowed: 1 or more")
    names = [job.folder(folder).name for job in jobs]
    if len(set(names)) < len(names):
        raise UsageError(f"two training jobs share a name: {', '.join(sorted(names))}")
    outcomes: dict[int, Trained | TrainingFailed] = {}
    for i, job in enumerate(jobs):
        trained = _earlier_result(job, folder, log)
        if trained is not None:
            outcomes[i] = trained
    open_jobs = [i for i in range(len(jobs)) if i not in outcomes]
    if open_jobs:
        shift = _Shift(jobs, folder, open_jobs, on_progress, on_done, log)
        wanted = min(n_workers, len(open_jobs))
        n_affordable = affordable_workers([jobs[i] for i in open_jobs], wanted, available_bytes(), log)
        outcomes.update(shift.work(n_affordable))
    return [outcomes[i] for i in range(len(jobs))]


def _earlier_result(job: TrainingJob, folder: Path, log: Callable[[str], None]) -> Trained | None:
    try:
        return read_result(job, folder)
    except DamagedFileError as error:
        log(f"{error}; training {job.job_id} again")
        (job.folder(folder) / "result.json").unlink(missing_ok=True)
        return None


class _Shift:
    """One call of `run_many`: a thread per worker process, all fed from one queue."""

    def __init__(
        self,
        jobs: Sequence[TrainingJob],
        folder: Path,
        numbers: Sequence[int],
        on_progress: Callable[[TrainingProgress], None],
        on_done: Callable[[Trained | TrainingFailed], None],
        log: Callable[[str], None],
    ) -> None:
        self.jobs, self.folder, self.log = jobs, folder, log
        self.on_progress, self.on_done = on_progress, on_done
        self.waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in numbers:
            self.waiting.put(number)
        self.outcomes: dict[int, Trained | TrainingFailed] = {}
        self.children: set[subprocess.Popen[str]] = set()
        self.error: BaseException | None = None
        self.stopped = threading.Event()
        self.lock = threading.Lock()

    def work(self, n_workers: int) -> dict[int, Trained | TrainingFailed]:
        threads = [threading.Thread(target=self._guarded, daemon=True) for _ in range(n_workers)]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():  # join without a timeout would not let Ctrl-C through
                    thread.join(0.2)
        finally:
            self._stop()
            for thread in threads:
                thread.join()
        if self.error is not None:
            raise self.error
        return self.outcomes

    def _stop(self) -> None:
        self.stopped.set()
        with self.lock:
            for child in self.children:
                child.kill()

    def _guarded(self) -> None:
        try:
            self._take_jobs()
        except BaseException as error:  # the edge of the thread: `work` raises it
            self.error = self.error or error
            self._stop()

    def _take_jobs(self) -> None:
        worker: _Worker | None = None
        with contextlib.ExitStack() as stack:
            while not self.stopped.is_set():
                try:
                    number = self.waiting.get_nowait()
                except queue.Empty:
                    return
                for attempt in range(1, ATTEMPTS + 1):
                    worker = worker or stack.enter_context(self._worker())
                    outcome = worker.train(self.jobs[number], self.folder, self._say)
                    if outcome is not None or self.stopped.is_set():
                        break
                    how = worker.how_it_died()
                    worker = None
                    self.log(f"{self.jobs[number].job_id}: {how} (attempt {attempt} of {ATTEMPTS})")
                    outcome = TrainingFailed(self.jobs[number], f"{how}, {ATTEMPTS} times")
                if self.stopped.is_set():
                    return
                assert outcome is not None
                self.outcomes[number] = outcome
                with self.lock:
                    self.on_done(outcome)

    def _say(self, progress: TrainingProgress) -> None:
        with self.lock:
            self.on_progress(progress)

    @contextlib.contextmanager
    def _worker(self) -> Iterator[_Worker]:
        with tempfile.TemporaryFile() as complaints, _Worker(complaints) as worker:
            with self.lock:
                self.children.add(worker.process)
                if self.stopped.is_set():  # set while it was being started
                    worker.process.kill()
            try:
                yield worker
            finally:
                with self.lock:
                    self.children.discard(worker.process)


class _Worker:
    """A child process that trains; its stdin carries jobs, its stdout answers, its stderr complaints."""

    def __init__(self, complaints: IO[bytes]) -> None:
        self._complaints = complaints
        here = str(Path(__file__).parents[2])  # the folder that holds the package hwnas
        path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hwnas.training.training_job"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            encoding="utf-8",
            env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C goes to the parent alone, which ends its children
        )

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()  # tells an idle worker to go
        self.process.stdout.close()
        self.process.wait()

    def train(
        self, job: TrainingJob, parent: Path, say: Callable[[TrainingProgress], None]
    ) -> Trained | TrainingFailed | None:
        """The outcome of the job; None when the process died on it."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            order = {"job": asdict(job), "parent": str(parent.resolve())}
            self.process.stdin.write(json.dumps(order, allow_nan=False) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        for line in self.process.stdout:
            event: dict[str, Any] = json.loads(line)
            if event["event"] == "step":
                say(TrainingProgress(job.job_id, event["done"] / event["total"], self.process.pid))
            elif event["event"] == "failed":
                return TrainingFailed(job, event["reason"])
            elif event["event"] == "done":
                return read_result(job, parent)
        return None

    def how_it_died(self) -> str:
        """Exit code or signal, and the last thing it said."""
        code = self.process.wait()
        name = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        hint = " (out of memory?)" if code == -signal.SIGKILL else ""
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()
        return f"the training process {name}{hint}" + (f"; it said: {lines[-1]}" if lines else "")
