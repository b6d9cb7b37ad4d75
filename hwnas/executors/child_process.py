"""The child process, which does one task after the other.

`python -m hwnas.executors.child_process` reads tasks from its standard input, one JSON line each, and
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

from .task import RefusedError, TaskContext, work_of

_STEP_EVENT_EVERY_S = 0.5


def _serve(tasks: queue.SimpleQueue[str | None], busy: threading.Event, answers: TextIO) -> None:
    def say(**event: Any) -> None:
        print(json.dumps(event), file=answers, flush=True)

    while (line := tasks.get()) is not None:
        order = json.loads(line)
        last_step_s = [float("-inf")]

        def on_step(done: int, total: int, last_step_s: list[float] = last_step_s) -> None:
            if time.monotonic() - last_step_s[0] >= _STEP_EVENT_EVERY_S or done == total:
                last_step_s[0] = time.monotonic()
                say(event="step", done=done, total=total)

        try:
            work = work_of(order["kind"])
            context = TaskContext(place=order["place"], on_step=on_step, log=_complain)
            work(order["document"], Path(order["folder"]), context)
            answer: dict[str, Any] = {"event": "done"}
        except RefusedError as error:
            answer = {"event": "refused", "reason": str(error)}
        except HwnasError as error:
            answer = {"event": "failed", "reason": str(error)}
        except Exception as error:  # the outermost edge of the process: the parent reports it
            traceback.print_exc()
            answer = {"event": "failed", "reason": f"{type(error).__name__}: {error}"}
            answer["out_of_memory"] = _is_out_of_memory(error)
        _free_cards()
        busy.clear()  # before the answer: the next task may follow it at once
        say(**answer)


def _is_out_of_memory(error: Exception) -> bool:
    """Of Python, of a CUDA device, or of torch's allocator on a CPU, which has no class of its own."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or "can't allocate memory" in str(error)


def _free_cards() -> None:
    """Give back what torch keeps of a card for its next tensors: other processes may need it."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _complain(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _listen(tasks: queue.SimpleQueue[str | None], busy: threading.Event) -> None:
    for line in sys.stdin:
        busy.set()
        tasks.put(line)
    if busy.is_set():
        os._exit(1)  # the parent is gone: nobody waits for what is being done
    tasks.put(None)


def main() -> None:
    """The child process. Its own prints go to stderr, so that they cannot be taken for answers."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    tasks: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    busy = threading.Event()
    # Before torch is imported: a parent may die that early.
    threading.Thread(target=_listen, args=(tasks, busy), daemon=True).start()
    _serve(tasks, busy, answers)


if __name__ == "__main__":
    main()
