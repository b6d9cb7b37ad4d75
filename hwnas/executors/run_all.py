"""Many tasks, a few at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait

from .task import Executor, ExecutorTask, OnProgress, Progress, TaskOutcome

_TICK_S = 0.2  # an endless wait would not let Ctrl-C through


def run_all(
    tasks: Sequence[ExecutorTask],
    executor: Executor,
    *,
    on_progress: OnProgress = lambda progress: None,
    on_done: Callable[[int, TaskOutcome], None] = lambda number, outcome: None,
) -> list[TaskOutcome]:
    """The outcome of each task, in order.

    on_progress: called from other threads, on_done with the place of the task in `tasks`: one at a time. An
    exception in one ends all tasks and is raised here, like Ctrl-C.
    """
    outcomes: dict[int, TaskOutcome] = {}
    waiting = deque(range(len(tasks)))
    flying: dict[Future[TaskOutcome], int] = {}
    lock = threading.Lock()

    def say(progress: Progress) -> None:
        with lock:
            on_progress(progress)

    try:
        width = executor.width(tasks) if tasks else 0
        while waiting or flying:
            while waiting and len(flying) < width:
                number = waiting.popleft()
                flying[executor.submit(tasks[number], say)] = number
            for future in wait(flying, _TICK_S, FIRST_COMPLETED).done:
                number = flying.pop(future)
                outcomes[number] = future.result()
                with lock:
                    on_done(number, outcomes[number])
            executor.check()
    except BaseException:  # raised again
        executor.abort()
        raise
    return [outcomes[number] for number in range(len(tasks))]
