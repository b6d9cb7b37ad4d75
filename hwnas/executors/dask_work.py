"""What a Dask worker does for hwnas: `do_task`, called by name with JSON and files in, files out.

The task itself runs in a child process, as on one's own machine, so that a task that dies or takes all
memory leaves the worker whole, and one that nobody waits for any more can be ended.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from targets.errors import HwnasError
from targets.files import digest_of, write_atomic

from .local import Children
from .packing import folder_files, pack, unpack
from .task import ExecutorTask, Failed, Progress, RefusedError
from .versions import difference, versions

_EVENT_EVERY_S = 1.0
_children = Children()
DONE, FAILED, REFUSED = "done", "failed", "refused"


class _UnwantedError(Exception):
    """Nobody waits for the task any more. It is no result: a scheduler that wants it again has it redone."""


def describe() -> str:
    """What this worker is, as JSON."""
    return json.dumps({"versions": versions()})


def do_task(order_json: str, inputs: bytes) -> bytes:
    """Do one task; the files that it left, or why there are none.

    order_json: kind, name, document, folder (a name), place, versions, topic and number of the task; `files`
        has the SHA-256 of an input by the place in the document where its path belongs.
    """
    from distributed import get_worker

    worker = get_worker()
    order: dict[str, Any] = json.loads(order_json)
    reason = difference(order["versions"], versions())
    facts = {"outcome": REFUSED, "reason": reason, "worker": worker.address}
    if reason is not None:
        return pack(facts, {})
    try:
        task = _task(order, inputs, Path(worker.local_directory))
        outcome = _children.do(task, _Reporter(worker, order), place=order["place"])
    except RefusedError as error:
        return pack({**facts, "reason": str(error)}, {})
    except HwnasError as error:
        return pack({**facts, "outcome": FAILED, "reason": str(error)}, {})
    if isinstance(outcome, Failed):
        return pack({**facts, "outcome": FAILED, "reason": outcome.reason}, {})
    files = folder_files(task.folder) if task.folder.exists() else {}
    return pack({**facts, "outcome": DONE}, files)


def _task(order: dict[str, Any], inputs: bytes, local: Path) -> ExecutorTask:
    """The task with the paths that its files have here. The same task finds its checkpoints again."""
    _, files = unpack(inputs)
    for digest, raw in files.items():
        if not (local / "inputs" / digest).exists():
            write_atomic(local / "inputs" / digest, raw)
    document = order["document"]
    what = digest_of([order["kind"], document, order["files"]])
    for keys, digest in order["files"]:
        *outer, last = keys
        values = document
        for key in outer:
            values = values[key]
        values[last] = str(local / "inputs" / digest)
    folder = local / "tasks" / what[:16] / order["folder"]
    return ExecutorTask(kind=order["kind"], name=order["name"], document=document, folder=folder)


class _Reporter:
    """Tells the client how far a task is, and ends one that the scheduler has given up."""

    def __init__(self, worker: Any, order: dict[str, Any]) -> None:
        self._worker, self._topic, self._number = worker, order["topic"], order["number"]
        self._key = worker.get_current_task()
        self._told_s = float("-inf")

    def __call__(self, progress: Progress) -> None:
        state = self._worker.state.tasks.get(self._key)
        if state is None or state.state in ("cancelled", "released", "forgotten"):
            raise _UnwantedError("it was no longer wanted")
        if time.monotonic() - self._told_s < _EVENT_EVERY_S and progress.share < 1:
            return
        self._told_s = time.monotonic()
        event = {"number": self._number, "share": progress.share, "pid": progress.pid}
        self._worker.log_event(self._topic, event)
