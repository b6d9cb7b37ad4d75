"""`hwnas rank`: the front of another device from a finished search, without a training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import HomeOption, JsonOption, option, output_file
from .output import csv_text, percent, print_json, print_table, say

HEADINGS = (
    "network",
    "kind",
    "search accuracy",
    "val accuracy",
    "test accuracy",
    "predicted ms",
    "from ms",
    "to ms",
    "in budget",
)


def rank(
    run_path: Annotated[Path, typer.Argument(metavar="RUN", help="A finished `hwnas search`.")],
    target: Annotated[
        str, option("Device to rank for: a name, a TOML file, or a device with stored or imported tables")
    ],
    budget: Annotated[
        list[str] | None, option("Upper limit METRIC<=NUMBER, repeatable, as 'latency_ms<=12'")
    ] = None,
    csv: Annotated[Path | None, output_file("--csv", "Write every known network as CSV")] = None,
    html: Annotated[
        Path | None, output_file("--html", "Write a page of the front; it opens without a network")
    ] = None,
    profile_minutes: Annotated[
        float | None,
        typer.Option(min=0, help="For measuring blocks where no table fits yet; 0: only stored tables."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rank all that a finished search knows for another device: its front, without a training.

    Every architecture that the run or an equal search evaluated keeps its accuracy and gets the latency of
    the other device, by its table. Accuracies are compared as the search saw them; those of networks that
    were trained to the end stand beside them. A network is `unsure` in the budget where only the error of the
    table decides.

    \b
    Examples:
      hwnas rank runs/photos-host-1 --target pi.toml --budget 'latency_ms<=12'
      hwnas rank runs/photos-host-1 --target pi --csv pi.csv --html pi.html    an imported table of `pi`
    """  # noqa: D301  (\b, the character, keeps the lines of the examples)
    from hwnas.pipeline.rank import rank as rank_run
    from hwnas.runs.identity import read_identity
    from hwnas.runs.log import Log
    from hwnas.tasks import outward, task_named
    from lut.home import data_home
    from targets.files import write_atomic

    read_identity(run_path)  # a folder that is no run is told before torch is loaded
    document = rank_run(
        run_path, target, budget or (), home=data_home(home), minutes=profile_minutes, log=Log()
    )
    named = outward(document, task_named(document["task"]))
    if csv is not None:
        write_atomic(csv, csv_text(named["networks"]))
        say(f"wrote {csv}")
    if html is not None:
        from hwnas.report.rank_page import rank_page

        write_atomic(html, rank_page(document))
        say(f"wrote {html}")
    if as_json:
        return print_json(named)
    _show(document)
    return None


def _show(document: dict[str, Any]) -> None:
    from hwnas.tasks import task_named

    label = task_named(document["task"]).metric.label
    headings = [text.replace("accuracy", label) for text in HEADINGS]
    front = {row["network"] for row in document["front"]}
    trained = [row for row in document["networks"] if row["test_accuracy"] is not None]
    beside = [row for row in trained if row["network"] not in front and row["in_budget"] != "no"]
    print_table(headings, map(_cells, document["front"]))
    if beside:
        print("\ntrained, but not on this front:")
        print_table(headings, map(_cells, beside))
    print(
        f"\n{len(front)} of {document['networks_known']} known networks are the front on "
        f"{document['target']}; "
        f"accuracies of the search are by {document['evaluator']}, on {document['validation_images']} images"
    )
    table = document["table"]
    print(
        f"latencies are predicted by the table of {table['date']}, "
        f"within {100 * table['margin']:.1f} % for nine networks of ten"
    )
    if document["chosen"] is not None:
        print(f"trained already and inside: {document['chosen']}")


def _cells(row: dict[str, Any]) -> tuple[object, ...]:
    return (
        row["network"],
        row["kind"],
        percent(row["val_accuracy_search"]),
        percent(row["val_accuracy"]),
        percent(row["test_accuracy"]),
        row["latency_ms"],
        row["latency_low_ms"],
        row["latency_high_ms"],
        row["in_budget"],
    )
