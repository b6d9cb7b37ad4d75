"""`hwnas export`: from a network to files that an app can ship."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hwnas.pipeline.exports.options import ExportOptions

from .derived import takes_options
from .interrupted import resumable
from .options import JsonOption, QuietOption
from .output import print_json, print_table, say


@takes_options(ExportOptions, spelt={"variants": "as"}, omit=("path", "quiet", "source"))
def export(
    given: dict[str, Any],
    *,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="RUN (its chosen network), RUN/ID, a folder of `hwnas train`, an ONNX file, a genotype, "
            "torchvision:NAME or timm:NAME.",
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the options, print what would be exported, and stop.")
    ] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make the files of a network that an app ships; each is compared, scored and measured.

    A file that answers otherwise than the float network, or loses more than --max-drop of its accuracy on
    validation images, is kept as *.rejected and never listed as good. The same command goes on after a stop.

    \b
    Examples:
      hwnas export runs/photos-host-1 --as fp32,int8
      hwnas export runs/photos-host-1/ID --target raspberry-pi-5
      hwnas export model.onnx --as fp16,int8 --data photos/ --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225
      hwnas export torchvision:mobilenet_v2 --weights mine.safetensors --data photos/ --as fp32,int8
    """  # noqa: D301  (\b, the character, keeps the lines of the examples)
    from hwnas.pipeline.exports.request import read_request
    from hwnas.tasks import outward, task_named

    options = ExportOptions(source=source, **{**given, "quiet": quiet})
    read_request(options)

    from hwnas.pipeline.exports.job import export_network, prepare_export  # here: they load torch
    from hwnas.runs.log import Log

    if dry_run:
        return print_json(prepare_export(options, Log(quiet=quiet)).document())
    with resumable("the same command; the files that are made stay"):
        folder, manifest = export_network(options)
    if as_json:
        return print_json({"folder": str(folder), **outward(manifest, task_named(manifest.get("task")))})
    print_table(
        [name.replace("accuracy", task_named(manifest.get("task")).metric.name) for name in _HEAD],
        [_row(r, state="good") for r in manifest["variants"]]
        + [_row(r, state="rejected") for r in manifest["rejected"]],
    )
    for sentence in manifest["findings"]:
        say(f"note: {sentence}")
    measured = f"measured on {manifest['measured']['target']['name']}, {manifest['measured']['date']}"
    print(f"take {manifest['recommended']} of {folder}; README.md says how; {measured}")
    return None


_HEAD = (
    *("file", "state", "size_mb", "val_accuracy", "test_accuracy", "latency_ms", "load_ms", "first_run_ms"),
    "peak_mb",
)


def _row(record: dict[str, Any], *, state: str) -> list[Any]:
    peak = record.get("peak_bytes")
    return [
        record["file"],
        state,
        record["size_bytes"] / 1e6,
        *(
            record.get(key)
            for key in ("val_accuracy", "test_accuracy", "latency_p50_ms", "load_ms", "first_run_ms")
        ),
        None if peak is None else peak / 1e6,
    ]
