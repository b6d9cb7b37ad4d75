"""`python -m profilers JOB`: measure the job in the folder JOB; `--facts` prints what this runtime is."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from targets.errors import HwnasError

from .clock import Clocks
from .run import run_job


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 done or out of time, 2 usage, 3 damaged job, 4 the target cannot do it."""
    parser = argparse.ArgumentParser(prog="python -m profilers", description=__doc__)
    parser.add_argument("job", nargs="?", type=Path, help="folder with manifest.json and ONNX files")
    parser.add_argument("--facts", action="store_true", help="print the facts of this runtime as JSON")
    options = parser.parse_args(arguments)
    try:
        if options.facts:
            from targets import host_facts

            from .session import runtime_facts

            print(json.dumps({**host_facts(), **runtime_facts()}, sort_keys=True))
            return 0
        if options.job is None:
            parser.error("give the folder of a job")
        missing = run_job(options.job, Clocks(), _log)
        if missing:
            _log(f"time is out: {missing} models have no row; run the job again to go on")
        return 0
    except HwnasError as error:
        _log(f"error: {error}")
        return error.exit_code


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
