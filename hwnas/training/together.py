"""One training by several processes of this machine, which `torchrun` starts; each has a GPU, or a core.

The job is as that of one process, and so is its result; it says by how many processes it is done.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from hwnas.distributed.processes import run_processes
from hwnas.distributed.rank_process import take_part
from targets.errors import HwnasError
from targets.files import read_json

from .training_job import Trained, TrainingJob, read_result, run_job


def train_together(
    job: TrainingJob,
    parent: Path,
    *,
    on_step: Callable[[int, int], None] = lambda done, total: None,
    log: Callable[[str], None] = lambda text: None,
    save_every_s: float = 30.0,
) -> Trained:
    """The result of the job, trained by `job.processes` processes; it goes on from its checkpoints.

    on_step, log, save_every_s: as of `run_job`. What the processes raise of our errors, this raises.
    """
    folder = job.folder(parent)
    run_processes(
        job.processes,
        "hwnas.training.together",
        folder / "job.json",
        asdict(job),
        str(parent),
        str(save_every_s),
        name=job.job_id,
        on_step=on_step,
        log=log,
    )
    trained = read_result(job, parent)
    if trained is None:
        raise HwnasError(f"the training of {job.job_id} left no result in {folder}")
    return trained


def main() -> int:
    """One of the processes. Its arguments are the job, the folder of results, seconds between checkpoints."""
    job_file, parent, save_every_s = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    job = TrainingJob(**read_json(job_file, "training job"))
    return take_part(
        job.device,
        job.processes,
        lambda ranks, on_step, log: run_job(
            job, parent, on_step=on_step, log=log, save_every_s=save_every_s, ranks=ranks
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
