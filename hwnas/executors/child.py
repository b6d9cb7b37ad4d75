"""A child process that does tasks, as its parent sees it; `child_process` is what runs there."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from typing import Any

from targets.own_process import own_command, own_environment

from .cards import environment_of
from .task import Done, ExecutorTask, Failed, OnProgress, Progress, RefusedError, TaskOutcome

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Child:
    """Its stdin carries tasks, its stdout answers, its stderr complaints.

    card: the CUDA device that it sees; None: all that this process sees.
    busy: whether it is at a task, or died of one.
    """

    def __init__(self, card: int | None = None) -> None:
        self.card = card
        self.busy = False
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `close`)
        self.process = subprocess.Popen(
            own_command("hwnas.executors.child_process"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            encoding="utf-8",
            env={**own_environment(), **environment_of(card), **_ONE_THREAD},
            start_new_session=True,  # Ctrl-C goes to the parent alone, which ends its children
        )

    def close(self) -> None:
        """Tell an idle child to go, and wait for it. One that was killed is gone already."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
        self._complaints.close()

    def do(self, task: ExecutorTask, on_progress: OnProgress, place: Mapping[str, Any]) -> TaskOutcome | None:
        """The outcome of the task; None when the process died on it. RefusedError: not in this place."""
        self.busy = True
        event = self._ask(task, on_progress, place)
        self.busy = event is None
        if event is None:
            return None
        if event["event"] == "refused":
            raise RefusedError(event["reason"])
        if event["event"] == "done":
            return Done()
        return Failed(event["reason"], bool(event.get("out_of_memory")))

    def _ask(
        self, task: ExecutorTask, on_progress: OnProgress, place: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """The last event of the task; None without one."""
        assert self.process.stdin is not None and self.process.stdout is not None
        order = {
            "kind": task.kind,
            "document": task.document,
            "folder": str(task.folder.resolve()),
            "place": dict(place),
        }
        try:
            self.process.stdin.write(json.dumps(order, allow_nan=False) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        for line in self.process.stdout:
            event: dict[str, Any] = json.loads(line)
            if event["event"] != "step":
                return event
            on_progress(Progress(task.name, event["done"] / event["total"], self.process.pid))
        return None

    def how_it_died(self) -> str:
        """Exit code or signal, and the last thing it said."""
        code = self.process.wait()
        name = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        hint = " (out of memory?)" if code == -signal.SIGKILL else ""
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()
        return f"the training process {name}{hint}" + (f"; it said: {lines[-1]}" if lines else "")
