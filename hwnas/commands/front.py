"""`hwnas front`: fronts of finished searches, put together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import JsonOption, output_file
from .output import csv_text, percent, print_json, print_table, say

front_app = typer.Typer(no_args_is_help=True, help="Put the fronts of finished searches together.")


@front_app.command()
def merge(
    run_paths: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Finished searches, at least two.")
    ],
    csv: Annotated[Path | None, output_file("--csv", "Write every trained network as CSV")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show one front over the trained networks of several searches of one space, data set and split.

    Where the searches were for several devices, a network has a latency on each: measured on the device that
    it was searched for, predicted by the other run's table on the others.

    \b
    Example:
      hwnas front merge runs/photos-host-1 runs/photos-host-2 --csv both.csv
    """  # noqa: D301  (\b, the character, keeps the lines of the examples)
    from hwnas.runs.identity import read_identity
    from hwnas.tasks import outward, task_named
    from targets.files import write_atomic

    for path in run_paths:
        read_identity(path)

    from hwnas.pipeline.merge import merge as merge_runs  # here: it loads torch

    document = merge_runs(run_paths)
    named = outward(document, task_named(document["task"]))
    if csv is not None:
        write_atomic(csv, csv_text(named["networks"]))
        say(f"wrote {csv}")
    if len(set(document["train_epochs"].values())) > 1:
        each = ", ".join(f"{run} {epochs}" for run, epochs in document["train_epochs"].items())
        say(f"warning: the networks were trained for different epochs ({each}); longer trainings win by that")
    if as_json:
        return print_json(named)
    _show(document)
    return None


def _show(document: dict[str, Any]) -> None:
    from hwnas.core.budget import latency_metrics
    from hwnas.tasks import task_named

    devices, label = document["devices"], task_named(document["task"]).metric.label
    metrics = latency_metrics(devices)
    headings = (
        "network",
        "run",
        "pick",
        f"val {label}",
        f"test {label}",
        *(f"{name} ms" for name in devices),
    )
    rows = [
        (
            row["network"],
            row["run"],
            row["kind"],
            percent(row["val_accuracy"]),
            percent(row["test_accuracy"]),
            *(_latency(row, metric) for metric in metrics),
        )
        for row in document["front"]
    ]
    print_table(headings, rows)
    n_trained, n_runs = len(document["networks"]), len(document["runs"])
    print(f"\n{len(rows)} of {n_trained} trained networks are the front of {n_runs} runs; ~ is predicted")


def _latency(row: dict[str, Any], metric: str) -> object:
    """A number where it was measured, marked text where a table predicts it."""
    value = row[metric]
    return value if row[f"{metric}_is"] == "measured" else f"~{value:.4g}"
