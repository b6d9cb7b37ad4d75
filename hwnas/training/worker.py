"""A child process that trains, as its parent sees it; `worker_process` is what runs there."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .training_job import Trained, TrainingFailed, TrainingJob, read_result


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """What a worker is at. share: 0..1 of the job; pid: of the worker."""

    job_id: str
    share: float
    pid: int


class Worker:
    """A child process that trains; its stdin carries jobs, its stdout answers, its stderr complaints.

    busy: whether it is at a job, or died of one.
    """

    def __init__(self) -> None:
        self.busy = False
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `close`)
        here = str(Path(__file__).parents[2])  # the folder that holds the package hwnas
        path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hwnas.training.worker_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            encoding="utf-8",
            env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C goes to the parent alone, which ends its children
        )

    def close(self) -> None:
        """Tell an idle worker to go, and wait for it. One that was killed is gone already."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
        self._complaints.close()

    def train(
        self, job: TrainingJob, parent: Path, say: Callable[[TrainingProgress], None]
    ) -> Trained | TrainingFailed | None:
        """The outcome of the job; None when the process died on it."""
        self.busy = True
        outcome = self._ask(job, parent, say)
        self.busy = outcome is None
        return outcome

    def _ask(
        self, job: TrainingJob, parent: Path, say: Callable[[TrainingProgress], None]
    ) -> Trained | TrainingFailed | None:
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
