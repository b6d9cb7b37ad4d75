"""`hwnas search`: the whole way from images to measured networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hwnas.runs.config import SearchConfig
from hwnas.runs.log import Log
from hwnas.runs.options import BudgetOptions
from targets.errors import InfeasibleError, UsageError

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
        typer.Option(
            "--dry-run",
            help="Say what would be done and how long it takes, and stop; with --json every option.",
            rich_help_panel=RUN,
        ),
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
      hwnas search --space table:known.csv           a table of known results, see known.toml
      hwnas search --resume runs/photos-host-1       go on after Ctrl-C or a crash
      hwnas search --continue-from runs/photos-host-1 --train-epochs 100    its networks, trained longer
      hwnas search --continue-from runs/photos-host-1 --grown-data photos-of-may/ --train-epochs 20
    """  # noqa: D301  (\b, the character, keeps the lines of the examples)
    from hwnas.runs.config import load_config
    from hwnas.runs.search_run import continued, create_search, default_path, open_search

    if resume and out:
        raise UsageError("--resume goes on in the run it names; leave --out away")
    options, given = load_config(config, {**given, "budget_ms": budget_ms})
    if resume and options.continue_from is not None:
        raise UsageError("--resume goes on with a run as it is; leave --continue-from away")
    options = continued(options, given)

    log = Log(quiet=quiet)
    if options.table_file is not None and not resume:
        from hwnas.pipeline.table_search import require_used

        require_used(given)
        return _search_table(options.table_file, options, out, log, dry_run=dry_run, as_json=as_json)
    from hwnas.pipeline.preflight import preflight  # after what is wrong by itself was told

    preflight(options, log)
    if dry_run:
        from hwnas.pipeline.planned_work import planned_work

        work = planned_work(options, log)
        return _print_plan({"config": options.to_json(), "work": work}, as_json)
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


def _search_table(
    file: str, options: SearchConfig, out: Path | None, log: Log, *, dry_run: bool, as_json: bool
) -> None:
    """A search of a table of known results (`--space table:FILE.csv`): nothing is trained or measured."""
    from hwnas.pipeline.table_search import CURVE, FRONT, read_table_search, search_table
    from hwnas.spaces.table import load_table

    if dry_run:
        load_table(file)  # says what is wrong with it
        return _print_plan({"config": options.to_json()}, as_json)
    path = search_table(file, options, out, log)
    result = read_table_search(path)
    if as_json:
        return print_json({"run": str(path), **result})
    headings = list(result["front"][0])
    print_table(headings, [[_short(row[h]) for h in headings] for row in result["front"]])
    print(
        f"{result['evaluations']:.0f} evaluations, {result['simulated_s']:.0f} s by the table's clock, "
        f"hypervolume {result['hypervolume']:.4f}"
    )
    print(f"{path / FRONT} has the front, {path / CURVE} how it was found")


def _print_plan(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        return print_json(document)
    from .planned import plan_lines

    return print("\n".join(plan_lines(document)))


def _short(value: object) -> object:
    return f"{value:.5g}" if isinstance(value, float) else value


def _show_front(path: Path, as_json: bool) -> None:
    from hwnas.runs.front_file import read_front
    from hwnas.runs.verdict import OUTSIDE, verdict
    from hwnas.tasks import outward, task_named

    front = read_front(path)
    findings = verdict(front)
    if as_json:
        found = [finding.to_json() for finding in findings]
        named = outward(front, task_named(front.get("task")))
        print_json({"run": str(path), "verdict": found, "front": named})
    else:
        _print_front(path, front)
    for finding in findings:
        if finding.code == OUTSIDE:
            raise InfeasibleError(finding.sentence)


def _print_front(path: Path, front: dict[str, Any]) -> None:
    from hwnas.runs.summary import (
        front_rows,
        growth_lines,
        headings,
        next_commands,
        pick_lines,
        verdict_lines,
    )

    for line in verdict_lines(front):
        print(line)
    print_table(headings(front), front_rows(front))
    for line in growth_lines(front):
        print(line)
    if reasons := pick_lines(front):
        print("Why these:")
        for line in reasons:
            print(f"  {line}")
    print(f"{path / 'front.csv'} has all points, {path / 'report.html'} shows them")
    print("What next:")
    for command, does in next_commands(str(path), str(front["chosen"]), front.get("task")):
        print(f"  {command}    {does}")
