"""Every gradient method searches and its cells are trained, job by job, in a run that may be stopped.

    python -m benchmarks.gradient_search --data cifar10.zip --nasbench201 TABLE.csv --out DIR [--parts a b]
    python -m benchmarks.gradient_search --out DIR --report

a: space nasbench201, eight methods x seeds, true accuracy from the table. b: space darts, final cells
trained. c: those cells on other classes. d: space mobile under three latency budgets, by the main job.
One row per finished job in DIR/rows.jsonl; the same command again does what is missing. --hours: the steps
and epochs of the default sizes are for 1.5 hours of one core and grow in proportion.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from hwnas.runs.log import Log
from targets.errors import HwnasError, UsageError

from . import budgets, cells, nasbench
from .jobs import Job, Rows, run_jobs
from .report import report

PARTS = ("a", "b", "c", "d")
_DEFAULT_HOURS = 1.5


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    rows = Rows(options.out / "rows.jsonl")
    if options.report:
        print(report(rows))
    else:
        run_jobs(jobs(options), rows, Log())


def jobs(options: argparse.Namespace) -> list[Job]:
    """The jobs of the parts asked for, in order."""
    if options.data is None or (options.nasbench201 is None and "a" in options.parts):
        raise UsageError("give --data, and --nasbench201 TABLE.csv for part a")
    factor, source, out = options.hours / _DEFAULT_HOURS, options.data, options.out
    listed: list[Job] = []
    if "a" in options.parts:
        sizes = nasbench.Sizes().times(factor)
        listed += nasbench.NasbenchJobs(sizes, source, options.nasbench201, out).jobs(options.seeds)
    if letters := [x for x in cells.CLASSES if x in options.parts]:
        listed += cells.CellJobs(cells.Sizes().times(factor), source, out).jobs(letters)
    if "d" in options.parts:
        listed += budgets.BudgetJobs(budgets.Sizes().times(factor), source, options.target, out).jobs()
    return listed


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="rows, images and runs lie here")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument(
        "--data", type=Path, help="CIFAR-10 as an image folder with train and test, or its zip"
    )
    parser.add_argument("--nasbench201", type=Path, help="CSV table of NAS-Bench-201, for part a")
    parser.add_argument("--hours", type=float, default=_DEFAULT_HOURS)
    parser.add_argument("--target", default="host", help="of part d")
    parser.add_argument("--seeds", type=int, default=3, help="of part a")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="print the tables of the rows that are there")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except HwnasError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
