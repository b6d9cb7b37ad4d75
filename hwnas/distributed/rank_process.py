"""One of several processes that do a training together, under `torchrun`.

The processes answer on stdout in JSON lines: how far they are, and what went wrong. All end when a pipe on
their standard input does, which is also what the death of their parent looks like.
"""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from collections.abc import Callable
from typing import Any

from targets.errors import HwnasError, UsageError

from .ranks import Ranks

EVENT_EVERY_S = 0.5

RankWork = Callable[[Ranks, Callable[[int, int], None], Callable[[str], None]], object]
"""Does the share of this process: (ranks, on_step(steps done, all steps), log(text))."""


def take_part(device: str, processes: int, work: RankWork) -> int:
    """Do `work` as one of the processes, whose rank is in the environment, where torchrun put it.

    device: of the job, as torch spells it; of `cuda` each process takes a card.
    processes: of the job, in all.
    Returns the exit code; errors of ours go to the parent, which raises them.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else prints cannot be taken for an answer
    threading.Thread(target=_end_with_input, daemon=True).start()

    def say(**event: Any) -> None:
        print(json.dumps(event), file=answers, flush=True)

    with _Group(device) as ranks:
        told_s = float("-inf")

        def on_step(done: int, total: int) -> None:
            nonlocal told_s
            if ranks.is_first and (time.monotonic() - told_s >= EVENT_EVERY_S or done == total):
                told_s = time.monotonic()
                say(event="step", done=done, total=total)

        try:
            if processes != ranks.world:
                raise UsageError(f"the job is one of {processes} processes, and {ranks.world} were started")
            work(ranks, on_step, lambda text: say(event="log", text=text))
        except HwnasError as error:  # the edge of the process: its parent raises it
            say(event="failed", reason=str(error), exit_code=error.exit_code)
            return 1
    return 0


class _Group:
    """The processes of the job, connected; a context manager."""

    def __init__(self, device: str) -> None:
        self._device = device

    def __enter__(self) -> Ranks:
        import torch
        from torch import distributed

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        if self._device == "cuda":
            place = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(place)
            distributed.init_process_group("nccl", device_id=place)
        else:
            place = torch.device(self._device)
            distributed.init_process_group("gloo")
        return Ranks(distributed.get_rank(), distributed.get_world_size(), place)

    def __exit__(self, *_: object) -> None:
        from torch import distributed

        distributed.destroy_process_group()


def _end_with_input() -> None:
    """Nobody waits once the pipe of the parent ends. os.read: sys.stdin would block the end."""
    if not stat.S_ISFIFO(os.fstat(0).st_mode):
        return
    while os.read(0, 4096):
        pass
    os._exit(1)
