"""Many trainings side by side, by an executor.

The result of a job does not depend on the process that trains it. Each result is written to the job's folder
at once, so a kill costs the jobs in flight only the time since their last checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from hwnas.executors import Executor, Failed, Progress, TaskOutcome, run_all
from targets.errors import DamagedFileError, UsageError

from .tasks import training_task
from .training_job import RESULT, Trained, TrainingFailed, TrainingJob, read_result

__all__ = ["Trained", "TrainingFailed", "TrainingJob", "run_many"]


def run_many(
    jobs: Sequence[TrainingJob],
    folder: Path,
    executor: Executor,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_done: Callable[[Trained | TrainingFailed], None] = lambda outcome: None,
    log: Callable[[str], None] = lambda text: None,
) -> list[Trained | TrainingFailed]:
    """The outcome of each job, in the order of `jobs`; those done earlier are read from `folder`.

    Callbacks are called one at a time, on_progress from other threads; an exception in one ends all jobs and
    is raised here, like Ctrl-C.
    """
    names = [job.folder(folder).name for job in jobs]
    if len(set(names)) < len(names):
        raise UsageError(f"two training jobs share a name: {', '.join(sorted(names))}")
    outcomes: dict[int, Trained | TrainingFailed] = {}
    for i, job in enumerate(jobs):
        trained = _earlier_result(job, folder, log)
        if trained is not None:
            outcomes[i] = trained
    waiting = [i for i in range(len(jobs)) if i not in outcomes]

    def learn(number: int, outcome: TaskOutcome) -> None:
        i = waiting[number]
        outcomes[i] = _trained(jobs[i], folder, outcome)
        on_done(outcomes[i])

    tasks = [training_task(jobs[i], folder) for i in waiting]
    run_all(tasks, executor, on_progress=on_progress, on_done=learn)
    return [outcomes[i] for i in range(len(jobs))]


def _trained(job: TrainingJob, folder: Path, outcome: TaskOutcome) -> Trained | TrainingFailed:
    if isinstance(outcome, Failed):
        return TrainingFailed(job, outcome.reason)
    trained = read_result(job, folder)
    return trained or TrainingFailed(job, f"the training left no result in {job.folder(folder)}")


def _earlier_result(job: TrainingJob, folder: Path, log: Callable[[str], None]) -> Trained | None:
    try:
        return read_result(job, folder)
    except DamagedFileError as error:
        log(f"{error}; training {job.job_id} again")
        (job.folder(folder) / RESULT).unlink(missing_ok=True)
        return None
