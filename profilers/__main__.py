"""`python -m profilers JOB`: measure the job in the folder JOB; `--facts` prints what this runtime is."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from .clock import Clocks
from .guard import guarded, log
from .job import ROWS


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 done or out of time, 2 usage, 3 damaged job, 4 the target cannot do it."""
    parser = argparse.ArgumentParser(prog="python -m profilers", description=__doc__)
    parser.add_argument("job", nargs="?", type=Path, help="folder with manifest.json and ONNX files")
    parser.add_argument("--facts", action="store_true", help="print the facts of this runtime as JSON")
    options = parser.parse_args(arguments)
    if options.job is None and not options.facts:
        parser.error("give the folder of a job")
    if options.facts:
        return guarded(print_facts)
    return guarded(lambda: _measure(options.job), writes=options.job / ROWS)


def print_facts() -> int:
    """The facts of this machine and this runtime, as one line of JSON."""
    from .facts import device_facts

    print(json.dumps(device_facts(), sort_keys=True))
    return 0


def _measure(folder: Path) -> int:
    from .run import run_job

    missing = run_job(folder, Clocks(), log, limited=True)
    if missing:
        log(f"time is out: {missing} rows are missing; run the job again to go on")
    return 0


if __name__ == "__main__":
    sys.exit(main())
