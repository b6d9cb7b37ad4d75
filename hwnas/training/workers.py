"""Many trainings side by side: one thread of computation per process, each process takes many jobs.

The result of a job does not depend on the process that trains it. Each result is written to the job's folder
at once, so a kill costs the jobs in flight only the time since their last checkpoint.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from targets.errors import DamagedFileError, UsageError

from .memory import PROCESS_BYTES, affordable_workers, available_bytes
from .training_job import Trained, TrainingFailed, TrainingJob, read_result
from .worker import TrainingProgress, Worker

__all__ = ["Trained", "TrainingFailed", "TrainingJob", "TrainingProgress", "Workers", "run_many"]

ATTEMPTS = 2
"""A worker may be killed because another took the memory; one that dies twice on a job dies of the job."""


def run_many(
    jobs: Sequence[TrainingJob],
    folder: Path,
    n_workers: int,
    *,
    workers: Workers | None = None,
    on_progress: Callable[[TrainingProgress], None] = lambda progress: None,
    on_done: Callable[[Trained | TrainingFailed], None] = lambda outcome: None,
    log: Callable[[str], None] = lambda text: None,
) -> list[Trained | TrainingFailed]:
    """The outcome of each job, in the order of `jobs`; those done earlier are read from `folder`.

    Callbacks are called one at a time, from other threads; an exception in one ends all workers and is
    raised here, like Ctrl-C. There are fewer workers than `n_workers` where the memory is short (`memory`).

    workers: processes to use and to leave for the next call; None: processes of this call alone.
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
        wanted = min(n_workers, len(open_jobs))
        with Workers() if workers is None else contextlib.nullcontext(workers) as pool:
            shift = _Shift(jobs, folder, open_jobs, pool, on_progress, on_done, log)
            available = available_bytes()
            if available is not None:
                available += PROCESS_BYTES * pool.n_idle  # they take it already
            n_affordable = affordable_workers([jobs[i] for i in open_jobs], wanted, available, log)
            outcomes.update(shift.work(n_affordable))
    return [outcomes[i] for i in range(len(jobs))]


def _earlier_result(job: TrainingJob, folder: Path, log: Callable[[str], None]) -> Trained | None:
    try:
        return read_result(job, folder)
    except DamagedFileError as error:
        log(f"{error}; training {job.job_id} again")
        (job.folder(folder) / "result.json").unlink(missing_ok=True)
        return None


class Workers:
    """Training processes that outlive a call of `run_many`: starting one takes seconds. A context manager."""

    def __init__(self) -> None:
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()

    @property
    def n_idle(self) -> int:
        """Processes that wait for work."""
        return self._idle.qsize()

    def take(self) -> Worker:
        """One that waits for work, else a new one."""
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return Worker()

    def give_back(self, worker: Worker) -> None:
        """One that has done its work."""
        self._idle.put(worker)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        """End those that wait for work; those at work belong to the call that took them."""
        while self.n_idle:
            self._idle.get().close()


class _Shift:
    """One call of `run_many`: a thread per worker process, all fed from one queue."""

    def __init__(
        self,
        jobs: Sequence[TrainingJob],
        folder: Path,
        numbers: Sequence[int],
        pool: Workers,
        on_progress: Callable[[TrainingProgress], None],
        on_done: Callable[[Trained | TrainingFailed], None],
        log: Callable[[str], None],
    ) -> None:
        self.jobs, self.folder, self.pool, self.log = jobs, folder, pool, log
        self.on_progress, self.on_done = on_progress, on_done
        self.waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in numbers:
            self.waiting.put(number)
        self.outcomes: dict[int, Trained | TrainingFailed] = {}
        self.children: set[Worker] = set()
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
                child.process.kill()

    def _guarded(self) -> None:
        try:
            self._take_jobs()
        except BaseException as error:  # the edge of the thread: `work` raises it
            self.error = self.error or error
            self._stop()

    def _take_jobs(self) -> None:
        worker: Worker | None = None
        try:
            while not self.stopped.is_set():
                try:
                    number = self.waiting.get_nowait()
                except queue.Empty:
                    return
                worker, outcome = self._train(number, worker)
                if self.stopped.is_set():
                    return
                self.outcomes[number] = outcome
                with self.lock:
                    self.on_done(outcome)
        finally:
            if worker is not None:
                self._leave(worker)

    def _train(self, number: int, worker: Worker | None) -> tuple[Worker | None, Trained | TrainingFailed]:
        """The outcome of a job, and the process that may take the next one."""
        job = self.jobs[number]
        reason = ""
        for attempt in range(1, ATTEMPTS + 1):
            worker = worker or self._enter()
            try:
                outcome = worker.train(job, self.folder, self._say)
            except BaseException:  # of a callback; raised again
                worker.process.kill()
                self._leave(worker)
                raise
            if outcome is not None:
                return worker, outcome
            reason = worker.how_it_died()
            self._leave(worker)
            worker = None
            if self.stopped.is_set():
                break
            self.log(f"{job.job_id}: {reason} (attempt {attempt} of {ATTEMPTS})")
        return worker, TrainingFailed(job, f"{reason}, {ATTEMPTS} times")

    def _enter(self) -> Worker:
        worker = self.pool.take()
        with self.lock:
            self.children.add(worker)
            if self.stopped.is_set():  # set while it was being started
                worker.process.kill()
        return worker

    def _leave(self, worker: Worker) -> None:
        """A process that is well goes back to the others."""
        with self.lock:
            self.children.discard(worker)
            well = not self.stopped.is_set() and not worker.busy and worker.process.poll() is None
        if well:
            self.pool.give_back(worker)
        else:
            worker.close()

    def _say(self, progress: TrainingProgress) -> None:
        with self.lock:
            self.on_progress(progress)
