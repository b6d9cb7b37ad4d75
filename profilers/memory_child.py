"""`python -m profilers.memory_child MODEL TARGET SEED`: what one session costs a process that does nothing
else.

Prints a JSON object per stage, at once, so that a process that is ended for its size has said how far it got.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from targets import Target
from targets.errors import HwnasError

from .resident import Resident, resident

RUNS = 4
"""Calls after loading: the first takes tensors one by one, the second a block for all of them, then it is
steady."""


def main(arguments: list[str]) -> int:
    """The exit code, as of `python -m profilers`."""
    model, target, seed = arguments
    try:
        _stages(Path(model), Target.from_json(json.loads(target)), int(seed))
    except HwnasError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


def _stages(model: Path, target: Target, seed: int) -> None:
    memory = resident()
    from .session import BoundNetwork, make_session, session_options

    options = session_options(target)
    _tell("import", memory)
    start = time.perf_counter_ns()
    session = make_session("the model", model, target, options)
    _tell("load", memory, (time.perf_counter_ns() - start) / 1e6)
    bound = BoundNetwork("the model", session, seed)
    for i in range(RUNS):
        start = time.perf_counter_ns()
        bound.run(1)
        _tell("steady" if i else "first run", memory, (time.perf_counter_ns() - start) / 1e6)


def _tell(stage: str, memory: Resident, wall_ms: float = 0.0) -> None:
    now_bytes, peak_bytes = memory.read()
    # Where the mark can be put back, each stage has a peak of its own.
    fresh = memory.reset()
    line = {
        "stage": stage,
        "now_bytes": now_bytes,
        "peak_bytes": peak_bytes,
        "next_is_fresh": fresh,
        "source": memory.source,
        "wall_ms": wall_ms,
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
