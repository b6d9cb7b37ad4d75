"""Tasks in child processes of this machine: one thread of computation each, each does many tasks."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from types import MappingProxyType
from typing import Any

from targets.errors import UsageError

from .cards import free_card_bytes, is_on_card, places_on_cards
from .child import Child
from .memory import PROCESS_BYTES, affordable, available_bytes
from .task import ExecutorTask, Failed, OnProgress, TaskOutcome
from .turns import Turns

ATTEMPTS = 2
"""A process may be killed because another took the memory; a task that kills two is what kills them."""


class Children:
    """Processes that outlive their tasks: starting one takes seconds.

    n_cards: CUDA devices that they share; with several, a process sees one of them.
    """

    def __init__(self) -> None:
        self.n_cards = 0
        self._idle: list[Child] = []
        self._busy: set[Child] = set()
        self._tasks_on: Counter[int | None] = Counter()
        self._lock, self._turns = threading.Lock(), Turns()
        self._killed = False

    @property
    def n_idle(self) -> int:
        """Processes that wait for work."""
        return len(self._idle)

    def idle_on(self, card: int) -> int:
        """Processes that wait for work on a card."""
        return sum(child.card in (None, card) for child in list(self._idle))

    def do(
        self,
        task: ExecutorTask,
        on_progress: OnProgress,
        log: Callable[[str], None] = lambda text: None,
        place: Mapping[str, Any] = MappingProxyType({}),
    ) -> TaskOutcome:
        """The outcome of a task, done again by another process where one died of it.

        What lacked memory is done once more when all others are through, and has failed where that is too
        little too. place: what the machine has to be like (`TaskContext`).
        """
        with self._turns.beside():
            outcome = self._attempt(task, on_progress, log, place)
        if not (isinstance(outcome, Failed) and outcome.out_of_memory):
            return outcome
        log(f"{task.name} lacked memory beside others; once more, alone")
        with self._turns.alone():
            self.close()  # they keep some
            return self._attempt(task, on_progress, log, place)

    def _attempt(
        self,
        task: ExecutorTask,
        on_progress: OnProgress,
        log: Callable[[str], None],
        place: Mapping[str, Any],
    ) -> TaskOutcome:
        reason = ""
        for attempt in range(1, ATTEMPTS + 1):
            child = self._take(task)
            try:
                outcome = child.do(task, on_progress, place)
                if outcome is not None:
                    return outcome
                reason = child.how_it_died()
            except BaseException:  # of a callback; raised again
                if child.busy:
                    child.process.kill()
                raise
            finally:
                self._leave(child)
            if self._killed:
                break
            log(f"{task.name}: {reason} (attempt {attempt} of {ATTEMPTS})")
        return Failed(f"{reason}, {ATTEMPTS} times")

    def kill(self) -> None:
        """End those that are at work."""
        with self._lock:
            self._killed = True
            for child in self._busy:
                child.process.kill()

    def revive(self) -> None:
        """Take tasks again."""
        self._killed = False

    def close(self) -> None:
        """End those that wait for work."""
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            child.close()

    def _take(self, task: ExecutorTask) -> Child:
        """An idle process that sees the card with the least work, or a new one."""
        with self._lock:
            card = self._card(task)
            self._tasks_on[card] += 1
            ended = [child for child in self._idle if child.process.poll() is not None]
            self._idle = [child for child in self._idle if child not in ended]
            fitting = [child for child in self._idle if child.card == card]
            if fitting:
                self._idle.remove(fitting[0])
                self._busy.add(fitting[0])
        for child in ended:  # while they waited: no task died of it
            child.close()
        child = fitting[0] if fitting else Child(card)
        with self._lock:
            self._busy.add(child)
            if self._killed:  # while it was being started
                child.process.kill()
        return child

    def _card(self, task: ExecutorTask) -> int | None:
        """The card of a new task, where it may be on several."""
        if task.device != "cuda" or self.n_cards < 2:
            return None
        return min(range(self.n_cards), key=lambda card: self._tasks_on[card])

    def _leave(self, child: Child) -> None:
        """A process that is well goes back to the others."""
        with self._lock:
            self._busy.discard(child)
            self._tasks_on[child.card] -= 1
            well = not self._killed and not child.busy and child.process.poll() is None
            if well:
                self._idle.append(child)
        if not well:
            child.close()


class LocalExecutor:
    """The executor of this machine. A context manager, which ends its processes.

    n_workers: processes at a time; fewer where the memory is short, that of CUDA devices too.
    log: gets a line when one dies.
    read_cards: the free memory of each CUDA device, in bytes.
    """

    def __init__(
        self,
        n_workers: int,
        log: Callable[[str], None] = lambda text: None,
        read_cards: Callable[[], Sequence[int]] = free_card_bytes,
    ) -> None:
        if n_workers < 1:
            raise UsageError(f"{n_workers} training processes; allowed: 1 or more")
        self.n_workers, self._log, self._read_cards = n_workers, log, read_cards
        self._children = Children()
        self._threads: list[threading.Thread] = []

    @property
    def n_idle(self) -> int:
        """Processes that wait for work."""
        return self._children.n_idle

    def submit(self, task: ExecutorTask, on_progress: OnProgress) -> Future[TaskOutcome]:
        """Begin a task in a process of its own."""
        future: Future[TaskOutcome] = Future()

        def work() -> None:
            try:
                future.set_result(self._children.do(task, on_progress, self._log))
            except BaseException as error:  # the edge of the thread: whoever waits raises it
                future.set_exception(error)

        thread = threading.Thread(target=work, daemon=True)
        self._threads = [thread, *(t for t in self._threads if t.is_alive())]
        thread.start()
        return future

    def width(self, tasks: Sequence[ExecutorTask]) -> int:
        """As many as were asked for, or as fit into the memory."""
        wanted = min(self.n_workers, len(tasks))
        if tasks and is_on_card(tasks[0]):
            free = self._read_cards()
            self._children.n_cards = len(free)
            wanted = places_on_cards(tasks, wanted, free, self._children.idle_on, self._log)
        available = available_bytes()
        if wanted <= 1 or available is None:
            return max(1, wanted)
        available += PROCESS_BYTES * self.n_idle  # they take it already
        return affordable([task.memory_bytes() for task in tasks], wanted, available, self._log)

    def check(self) -> None:
        """Children answer or die."""

    def abort(self) -> None:
        """Kill the processes at work, and wait for them."""
        self._children.kill()
        for thread in self._threads:
            thread.join()
        self._threads = []
        self._children.revive()

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes that wait for work."""
        self._children.close()
