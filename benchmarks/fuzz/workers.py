"""Processes that read broken inputs, with limits on time and memory; one that dies is replaced."""

from __future__ import annotations

import multiprocessing as mp
import os
import random
import resource
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType

from targets.errors import HwnasError

from .doors import DOORS, Door, close_process
from .mutations import mutated

HANG_S = 5.0
"""Of CPU time, so that a busy machine makes no hangs; of a process that waits, DEAF_S by the clock."""

DEAF_S = 120.0
MEMORY_BYTES = 4 << 30
BATCH = 50
LONGEST = 3000
"""Characters of a message: an error shows what is wrong, not all that it was given."""


class HangError(BaseException):
    """An input took longer than HANG_S; no handler on the way swallows it."""


Case = tuple[str, int]
"""A door and the number of an input: together they make the same bytes every time."""


@dataclass
class Counts:
    """What became of the inputs; found: (what, where it happened) -> the cases."""

    read: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    found: dict[tuple[str, str], list[Case]] = field(default_factory=dict)

    def add(self, case: Case, outcome: str, where: str, seconds: float) -> None:
        """outcome: `read`, `refused`, or what went wrong `where`."""
        self.seconds[case[0]] += seconds  # type: ignore[assignment]  # a counter of seconds
        if outcome in ("read", "refused"):
            (self.read if outcome == "read" else self.refused)[case[0]] += 1
        else:
            self.found.setdefault((outcome, where), []).append(case)


def input_of(case: Case, seed: int, seeds: list[bytes]) -> bytes:
    """The broken input of a case."""
    name, number = case
    return mutated(seeds, DOORS[name].kinds, random.Random(f"{seed}/{name}/{number}"))


def one(door: Door, data: bytes, folder: Path) -> tuple[str, str, float]:
    """(outcome, where, seconds) of one input; the folder is emptied."""
    began = time.perf_counter()
    outcome, where = "read", ""
    signal.setitimer(signal.ITIMER_PROF, HANG_S)
    try:
        door.read(data, folder)
    except HwnasError as error:
        outcome = "refused"
        if "\n" in str(error).strip() and "Traceback" in str(error):
            outcome, where = "a traceback in a message", str(error)[:200]
        elif len(str(error)) > LONGEST:
            outcome, where = (
                "a message that nobody reads",
                f"of over {LONGEST} characters: {str(error)[-80:]!r}",
            )
    except HangError:
        outcome, where = "a hang", _place(traceback.format_exc())
    except Exception as error:  # what this benchmark looks for
        outcome, where = f"{type(error).__name__}: {str(error)[:80]!r}", _place(traceback.format_exc())
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return outcome, where, time.perf_counter() - began


def _place(text: str) -> str:
    """The last file and line of ours in a traceback."""
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("File ")]
    ours = [
        line
        for line in lines
        if any(f"/{part}/" in line for part in ("hwnas", "lut", "profilers", "targets"))
    ]
    return (ours or lines or [""])[-1]


def _hang(signum: int, frame: FrameType | None) -> None:
    raise HangError


def prepare(names: Iterable[str]) -> dict[str, list[bytes]]:
    """The valid inputs of each door, read once: what is imported then counts for no input."""
    seeds: dict[str, list[bytes]] = {}
    with tempfile.TemporaryDirectory(prefix="hwnas-fuzz-") as root:
        for name in names:
            seeds[name] = list(DOORS[name].seeds())
            for data in seeds[name]:
                DOORS[name].read(data, Path(tempfile.mkdtemp(dir=root)))
    return seeds


def _work(pipe: Connection, seed: int, seeds: Mapping[str, list[bytes]]) -> None:
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # readers' own words
    signal.signal(signal.SIGPROF, _hang)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, resource.RLIM_INFINITY))
    with tempfile.TemporaryDirectory(prefix="hwnas-fuzz-") as root:
        folder = Path(root) / "in"
        folder.mkdir()
        while (cases := pipe.recv()) is not None:
            for case in cases:
                pipe.send((case, None))
                pipe.send((case, one(DOORS[case[0]], input_of(case, seed, seeds[case[0]]), folder)))
            pipe.send(None)


def run(
    cases: Iterable[Case], seed: int, n_workers: int, until: float
) -> Iterator[tuple[Case, tuple[str, str, float]]]:
    """The outcome of each case, until the time is over; a process that dies is an outcome."""
    cases = list(cases)
    seeds = prepare(dict.fromkeys(name for name, _ in cases))
    close_process()  # each worker begins its own
    context = mp.get_context("fork")
    batches = _batches(cases)
    workers: dict[Connection, tuple[mp.process.BaseProcess, Case | None, float]] = {}

    def start() -> None:
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, seed, seeds))
        process.start()
        theirs.close()
        workers[ours] = (process, None, time.monotonic())
        _give(ours, batches)

    for _ in range(n_workers):
        start()
    while workers and time.monotonic() < until:
        for pipe in wait(list(workers), timeout=1.0):
            assert isinstance(pipe, Connection)
            process, current, _ = workers[pipe]
            try:
                answer = pipe.recv()
            except (EOFError, OSError):
                process.join()
                del workers[pipe]
                if process.exitcode:
                    yield current or ("start", 0), (f"killed, code {process.exitcode}", "", 0.0)
                    start()
                continue
            if answer is None:
                _give(pipe, batches)
            elif answer[1] is None:
                workers[pipe] = (process, answer[0], time.monotonic())
            else:
                workers[pipe] = (process, None, time.monotonic())
                yield answer
        for process, _, since in list(workers.values()):
            if time.monotonic() - since > DEAF_S:
                process.kill()  # deaf to its alarm
    for process, _, _ in workers.values():
        process.kill()
        process.join()


def _batches(cases: Iterable[Case]) -> Iterator[list[Case]]:
    batch: list[Case] = []
    for case in cases:
        batch.append(case)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _give(pipe: Connection, batches: Iterator[list[Case]]) -> None:
    pipe.send(next(batches, None))
