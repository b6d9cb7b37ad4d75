"""`hwnas search`: the whole way from images to measured networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hwnas.runs.config import SearchConfig
from hwnas.runs.options import BudgetOptions
from targets.errors import UsageError

from .derived import takes_options
from .interrupted import resumable
from .options import JsonOption, QuietOption, option
from .output import print_json, print_table

RUN = "The run"
"""Topic of the help."""


@takes_options(SearchConfig)
def search(
    given: dict[str, Any],
    *,
    budget_ms: Annotated[
        float | None, option("Short for --budget 'latency_ms<=NUMBER'", topic=BudgetOptions.topic)
    ] = None,
    config: Annotated[
        Path | None, option("TOML file of these options; options given here win", topic=RUN)
    ] = None,
    out: Annotated[Path | None, option("Run directory; default runs/<data>-<target>-<n>", topic=RUN)] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with this run.", rich_help_panel=RUN)
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check the options, print them all, and stop.", rich_help_panel=RUN),
    ] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Search for networks, train the best, and export them checked and measured.

    \b
    Examples:
      hwnas search                                   handwritten digits in small scenes, this machine
      hwnas search --data photos/ --budget-ms 12     your images, at most 12 ms each
      hwnas search --data photos.zip --image-size 96 --budget 'size_mb<=4'
      hwnas search --resume runs/photos-host-1       go on after Ctrl-C or a crash
    """  # noqa: D301  (\b, the character, keeps the lines of the examples)
    from hwnas.pipeline.preflight import preflight
    from hwnas.runs.config import load_config
    from hwnas.runs.log import Log
    from hwnas.runs.search_run import create_search, default_path, open_search

    if resume and out:
        raise UsageError("--resume goes on in the run it names; leave --out away")
    options, given = load_config(config, {**given, "budget_ms": budget_ms})
    preflight(options)
    if dry_run:
        from hwnas.pipeline.planned_work import planned_work

        work = planned_work(options, Log(quiet=quiet))
        return print_json({"config": options.to_json(), "work": work})
    log = Log(quiet=quiet)
    path = resume or out or default_path(options)
    run_dir = (
        open_search(path, given=given, log=log)
        if resume
        else create_search(path, options, given=given, log=log)
    )
    with resumable(f"hwnas search --resume {path}"), run_dir:
        log(f"run directory {path}")
        from hwnas.pipeline import main_job

        main_job.search(run_dir)
    _show_front(path, as_json)


def _show_front(path: Path, as_json: bool) -> None:
    from hwnas.runs.front_file import read_front
    from hwnas.runs.summary import HEADINGS, front_rows, next_commands, verdict_lines
    from hwnas.runs.verdict import verdict

    front = read_front(path)
    if as_json:
        findings = [finding.to_json() for finding in verdict(front)]
        return print_json({"run": str(path), "verdict": findings, "front": front})
    for line in verdict_lines(front):
        print(line)
    print_table(HEADINGS, front_rows(front))
    print(f"{path / 'front.csv'} has all points, {path / 'report.html'} shows them")
    print("What next:")
    for command, does in next_commands(str(path), str(front["chosen"])):
        print(f"  {command}    {does}")
