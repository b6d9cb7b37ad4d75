"""The worker process, which does one training job after the other.

`python -m hwnas.training.worker_process` reads jobs from its standard input, one JSON line each, and
answers in JSON lines. It ends when its standard input does, which is also what the death of its parent
looks like.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

from targets.errors import HwnasError

from .training_job import TrainingJob, run_job

_STEP_EVENT_EVERY_S = 0.5


def _serve(jobs: queue.SimpleQueue[str | None], busy: threading.Event, answers: TextIO) -> None:
    def say(**event: Any) -> None:
        print(json.dumps(event), file=answers, flush=True)

    while (line := jobs.get()) is not None:
        import torch  # not before there is work

        torch.set_num_threads(1)
        order = json.loads(line)
        last_step_s = [float("-inf")]

        def on_step(done: int, total: int, last_step_s: list[float] = last_step_s) -> None:
            if time.monotonic() - last_step_s[0] >= _STEP_EVENT_EVERY_S or done == total:
                last_step_s[0] = time.monotonic()
                say(event="step", done=done, total=total)

        try:
            run_job(TrainingJob(**order["job"]), Path(order["parent"]), on_step=on_step, log=_complain)
            answer = {"event": "done"}
        except HwnasError as error:
            answer = {"event": "failed", "reason": str(error)}
        except Exception as error:  # the outermost edge of the worker: the parent reports it
            traceback.print_exc()
            answer = {"event": "failed", "reason": f"{type(error).__name__}: {error}"}
        busy.clear()  # before the answer: the next job may follow it at once
        say(**answer)


def _complain(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _listen(jobs: queue.SimpleQueue[str | None], busy: threading.Event) -> None:
    for line in sys.stdin:
        busy.set()
        jobs.put(line)
    if busy.is_set():
        os._exit(1)  # the parent is gone: nobody waits for what is being trained
    jobs.put(None)


def main() -> None:
    """The worker process. Its own prints go to stderr, so that they cannot be taken for answers."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    jobs: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    busy = threading.Event()
    # Before torch is imported: a parent may die that early.
    threading.Thread(target=_listen, args=(jobs, busy), daemon=True).start()
    _serve(jobs, busy, answers)


if __name__ == "__main__":
    main()
