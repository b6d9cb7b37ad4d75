"""`hwnas data`: images, before anything is trained on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwnas.core.samples import kind_named
from hwnas.runs.config import SearchConfig
from hwnas.runs.definition import definitions
from targets.errors import DamagedFileError

from .derived import help_of
from .options import HomeOption, JsonOption
from .output import print_json, print_table, say

if TYPE_CHECKING:
    from hwnas.data import DataFacts

data_app = typer.Typer(help="Images to search with.", no_args_is_help=True)

_OPTIONS = definitions(SearchConfig)
_SHOWN_CLASSES = 40


@data_app.command("check")
def data_check(
    data: Annotated[str, typer.Argument(metavar="DATA", help=f"{_OPTIONS['data'].option.help}.")],
    labels: Annotated[Path | None, typer.Option(help=help_of(_OPTIONS["labels"]))] = None,
    task: Annotated[str, typer.Option(help=help_of(_OPTIONS["task"]))] = "classification",
    label_column: Annotated[list[str] | None, typer.Option(help=help_of(_OPTIONS["label_columns"]))] = None,
    group_column: Annotated[str | None, typer.Option(help=help_of(_OPTIONS["group_column"]))] = None,
    report_by: Annotated[list[str] | None, typer.Option(help=help_of(_OPTIONS["report_by"]))] = None,
    tokens: Annotated[str | None, typer.Option(help=help_of(_OPTIONS["tokens"]))] = None,
    image_size: Annotated[int | None, typer.Option(help=help_of(_OPTIONS["image_size"]))] = None,
    window: Annotated[int | None, typer.Option(help=help_of(_OPTIONS["window"]))] = None,
    hop: Annotated[int | None, typer.Option(help=help_of(_OPTIONS["hop"]))] = None,
    clip_seconds: Annotated[float | None, typer.Option(help=help_of(_OPTIONS["clip_seconds"]))] = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help=help_of(_OPTIONS["skip_broken"]))
    ] = False,
    download: Annotated[bool, typer.Option("--download", help=help_of(_OPTIONS["download"]))] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at every sample as `hwnas search` will: classes, splits, sizes, what is broken or twice there.

    \b
    Examples:
      hwnas data check photos/
      hwnas data check photos.zip --labels labels.csv
      hwnas data check photos/ages.csv --task regression --label-column age --group-column person
      hwnas data check walks.csv --window 128 --hop 64
      hwnas data check book.txt --task language
      hwnas data check photos/ --json | jq .broken
    """  # noqa: D301  (\b, the character, keeps the lines of the examples)
    from hwnas.data import inspect_data
    from hwnas.runs.log import Log
    from lut.home import data_home

    log = Log()
    facts = inspect_data(
        data,
        image_size,
        root=data_home(home),
        labels_csv=labels,
        task=task,
        label_columns=label_column or (),
        group_column=group_column,
        report_by=report_by or (),
        window=window,
        hop=hop,
        tokens=tokens,
        clip_seconds=clip_seconds,
        download=download,
        skip_broken=skip_broken,
        log=log,
        progress=log.progress,
    )
    if as_json:
        print_json(facts.to_json())
    else:
        _print(facts)
    if facts.broken and not skip_broken:
        raise DamagedFileError(
            f"{len(facts.broken)} of {facts.n_images + len(facts.broken)} "
            f"{kind_named(facts.kind).plural} are "
            "broken; replace or remove them, or leave them out with --skip-broken"
        )
    facts.require_sound()


def _print(facts: DataFacts) -> None:
    kind = kind_named(facts.kind)
    print(
        f"{facts.name}: {facts.n_images:,} {kind.plural}, taken {'in' if kind.dims == 2 else 'as'} "
        f"{kind.extent(facts.in_channels, facts.image_size)} ({facts.memory_mb:.1f} MB)"
    )
    if facts.classes:
        shown = list(facts.classes.items())[:_SHOWN_CLASSES]
        rows = [(name, *counts.values(), sum(counts.values())) for name, counts in shown]
        if len(facts.classes) > len(shown):
            rows.append((f"... and {len(facts.classes) - len(shown)} more", *[None] * (len(rows[0]) - 1)))
        rows.append(("all", *facts.splits.values(), sum(facts.splits.values())))
        print_table((facts.counted, *facts.splits, kind.plural), rows)
        print(f"splits: {facts.cut}")
    if facts.told_by:
        told = ", ".join(f"{column} ({n} values)" for column, n in facts.told_by.items())
        print(f"results by: {told}")
    for note in facts.notes:
        say(f"note: {note}")
    for a, b in facts.in_two_classes:
        say(f"warning: {a} and {b} are the same {kind.name}")
    for why in facts.broken.values():
        say(f"broken: {why}")
