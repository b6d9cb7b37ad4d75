"""`hwnas shrink`: a trained network, made as fast as asked for."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hwnas.pipeline.shrinks.options import ShrinkOptions

from .derived import takes_options
from .interrupted import resumable
from .options import JsonOption, QuietOption
from .output import print_json, print_table


@takes_options(
    ShrinkOptions,
    spelt={"dataset": "data"},
    omit=("path", "quiet", "source", "teacher", "teacher_weights"),
)
def shrink(
    given: dict[str, Any],
    *,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A folder of `hwnas train`, RUN/ID of a search, torchvision:NAME or timm:NAME.",
        ),
    ],
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check the options, print which channels could go, and stop."),
    ] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take whole channels out of a trained network until it is fast enough, and let it learn again.

    Channels that stand and fall together are found by a trace of the network. What each width of each group
    costs in loss is tried on validation images, and in milliseconds predicted from the profile of the target
    (`hwnas profile`); a knapsack chooses the widths. The narrower network learns from the answers of the
    whole one, is exported, checked and measured. The same command goes on after a stop.

    \b
    Examples:
      hwnas shrink runs/photos-host-1/ID --budget-ms 5
      hwnas shrink runs/train-mobile-1a2b --budget-ms 8 --budget-ms 5 --budget-ms 3
      hwnas shrink torchvision:mobilenet_v2 --weights mine.safetensors --data photos/ --budget-ms 5
      hwnas shrink timm:resnet18 --weights model.pt --data photos/ --image-size 128 --dry-run
    """  # noqa: D301  (\b, the character, keeps the lines of the examples)
    options = ShrinkOptions(source=source, **{**given, "quiet": quiet})
    from hwnas.pipeline.shrinks.job import shrink_network  # here and below: they load torch
    from hwnas.pipeline.shrinks.prepared import prepare_shrinking

    if dry_run:
        return print_json(prepare_shrinking(options).document())
    with resumable("the same command; what is done stays"):
        folder, front = shrink_network(options)
    if as_json:
        return print_json({"folder": str(folder), **front})
    print_table(_HEAD, [_row(point) for point in front["points"]])
    print(
        f"take {front['chosen']}; its files are in {folder}/models, more come from "
        f"`hwnas export {folder}/{front['chosen']}`"
    )
    return None


_HEAD = (
    *("network", "budget_ms", "latency_ms", "within", "val_accuracy", "test_accuracy"),
    "size_mb",
)


def _row(point: dict[str, Any]) -> list[Any]:
    measured = point["measured"]
    budget = point["predicted"]["budget_ms"]
    return [
        point["arch_id"],
        budget,
        measured["latency_p50_ms"],
        None if budget is None else "yes" if point["feasible"] else "no",
        measured["val_accuracy"],
        measured["test_accuracy"],
        measured["size_mb"],
    ]
