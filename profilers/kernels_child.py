"""The kernels that networks become here: a process that is asked for one network after the other.

A process of its own, so that a network that never ends, needs too much memory or crashes the runtime ends
nothing but this process. Each line of its input asks for a network: `name`, `model` (a file) and `target` as
JSON. Each line that it answers has `kernels`, or `exit_code` and `error` as of `python -m profilers`. When
the input ends, so does it, in the middle of a network too: who asked may have been killed.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from targets import Target

from .guard import failure_of
from .limits import limit_memory

_LAST_S = 1.0
"""After the end of the input, for a process that has nothing to do."""


def main() -> int:
    """Answer until the input ends."""
    requests: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else writes to standard output writes no answer
    limited = False
    while (line := requests.get()) is not None:
        request = json.loads(line)
        target = Target.from_json(request["target"])
        if target.provider == "cpu" and not limited:
            limit_memory()
            limited = True
        print(json.dumps(_answer(request, target)), file=answers, flush=True)
    return 0


def _listen(requests: queue.SimpleQueue[str | None]) -> None:
    for line in sys.stdin:
        requests.put(line)
    requests.put(None)
    time.sleep(_LAST_S)
    os._exit(1)


def _answer(request: Mapping[str, Any], target: Target) -> dict[str, Any]:
    answer: dict[str, Any] = {}

    def run() -> None:
        answer["kernels"] = _kernels(request["name"], Path(request["model"]), target)

    failure = failure_of(run)
    return answer if failure is None else {"exit_code": failure.exit_code, "error": str(failure)}


def _kernels(name: str, model: Path, target: Target) -> list[dict[str, Any]]:
    from .profiled_runner import ProfiledRunner

    runner = ProfiledRunner(name, model, target, seed=0)
    runner.run(1)
    return [kernel.to_json() for kernel in runner.profile(0)[0]]


if __name__ == "__main__":
    sys.exit(main())
