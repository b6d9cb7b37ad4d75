"""One training by several processes of this machine, which `torchrun` starts; each has a GPU, or a core.

The job is as that of one process, and so is its result; it says by how many processes it is done.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO

from targets.errors import DamagedFileError, HwnasError, TargetError, UsageError
from targets.files import write_json
from targets.own_process import own_environment

from .training_job import Trained, TrainingJob, read_result

_END_S = 20.0
_ERRORS: Mapping[int, type[HwnasError]] = {2: UsageError, 3: DamagedFileError, 4: TargetError}


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
    write_json(folder / "job.json", asdict(job))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    command += [str(job.processes), "-m", "hwnas.training.one_of_many"]
    command += [str(folder / "job.json"), str(parent), str(save_every_s)]
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            encoding="utf-8",
            env=_environment(),
            start_new_session=True,  # Ctrl-C goes to this process, which ends the others
        )
        try:
            failure = _listen(process.stdout, on_step, log)
            code = process.wait()
        finally:
            _end(process)
        if failure is not None:
            raise failure
        if code != 0:
            raise HwnasError(
                f"the processes of {job.job_id} ended with code {code}: {_last_words(complaints)}"
            )
    (folder / "job.json").unlink()
    trained = read_result(job, parent)
    if trained is None:
        raise HwnasError(f"the training of {job.job_id} left no result in {folder}")
    return trained


def _listen(
    lines: IO[str] | None, on_step: Callable[[int, int], None], log: Callable[[str], None]
) -> HwnasError | None:
    """Tell the callbacks; the first error of a process, None without one."""
    failure: HwnasError | None = None
    for line in lines or ():
        event = json.loads(line)
        if event["event"] == "step":
            on_step(event["done"], event["total"])
        elif event["event"] == "log":
            log(event["text"])
        else:
            failure = failure or _ERRORS.get(event["exit_code"], HwnasError)(event["reason"])
    return failure


def _environment() -> dict[str, str]:
    """That of this process; the processes find this hwnas, and talk on the loopback alone."""
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    loopback = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    return {**loopback, **own_environment(), **threads}


def _end(process: subprocess.Popen[str]) -> None:
    """Closing the input ends the processes; torchrun ends with them."""
    with suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _last_words(complaints: IO[bytes]) -> str:
    """Of a process, not of torchrun, which prints a report of its own after them."""
    complaints.seek(0)
    lines = complaints.read().decode(errors="replace").strip().splitlines()
    errors = [line for line in lines if "Error" in line and "elastic" not in line]
    return (errors or lines or ["it said nothing"])[-1]
