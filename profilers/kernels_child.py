"""`python -m profilers.kernels_child NAME MODEL TARGET`: the kernels that a network becomes here, as JSON.

A process of its own, so that a network that never ends, needs too much memory or crashes the runtime ends
nothing but this process.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from targets import Target

from .guard import guarded
from .limits import limit_memory


def main(arguments: list[str]) -> int:
    """The exit code, as of `python -m profilers`."""
    name, model, target = arguments
    return guarded(lambda: _kernels(name, Path(model), Target.from_json(json.loads(target))))


def _kernels(name: str, model: Path, target: Target) -> int:
    from .profiled_runner import ProfiledRunner

    if target.provider == "cpu":
        limit_memory()
    runner = ProfiledRunner(name, model, target, seed=0)
    runner.run(1)
    print(json.dumps([kernel.to_json() for kernel in runner.profile(0)[0]]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
