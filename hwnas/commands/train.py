"""`hwnas train`: one architecture, from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .interrupted import resumable
from .options import DEFAULTS, HomeOption, JsonOption, QuietOption, option
from .output import print_json, print_table


def train(
    genotype: Annotated[
        str | None, option("The architecture: Genotype(...), a string of NAS-Bench-201, JSON or a key")
    ] = None,
    alphas: Annotated[Path | None, option("Instead of it, alphas.npz of a search")] = None,
    epoch: Annotated[int | None, option("Epoch of the alphas, from 1; default the last")] = None,
    method: Annotated[
        str | None, option("Method that decodes the alphas; default that of the run they lie in")
    ] = None,
    data: Annotated[
        str, option("An image folder, a zip of one, or cifar10, cifar100, mnist, fashion-mnist", "data")
    ] = DEFAULTS.data,
    space: Annotated[
        str, option("Space of the architecture, a name or a TOML file; default darts")
    ] = "darts",
    image_size: Annotated[
        int | None, option("Side in pixels, 16 to 224; default as the data suggest")
    ] = None,
    limit: Annotated[int | None, option("Use at most so many images; default all")] = None,
    cells: Annotated[int | None, option("Cells of the network; default as published")] = None,
    channels: Annotated[int | None, option("Channels of its first cells; default as published")] = None,
    epochs: Annotated[int, option("Epochs to train for; default 600")] = 600,
    batch_size: Annotated[int, option("Images per training step; default 96")] = 96,
    seed: Annotated[int, option("Seed of everything random", "seed")] = DEFAULTS.seed,
    device: Annotated[str, option("Where to train, cpu or cuda", "device")] = DEFAULTS.device,
    download: Annotated[
        bool, typer.Option("--download", help="Allow fetching cifar10 and the like.")
    ] = False,
    out: Annotated[Path | None, option("Folder; default runs/train-<space>-<id>-<hash>")] = None,
    home: HomeOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the options, print what would be trained, and stop.")
    ] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train one architecture from scratch as the papers do, test it once, and export it checked.

    Cutout, drop-path on a line up to 0.2, and the auxiliary head where the space has one. The same command
    goes on after a stop.
    """
    options = dict(locals())
    for key in ("genotype", "data", "space", "dry_run", "as_json"):
        del options[key]
    _train(
        {**options, "architecture": genotype, "dataset": data, "search_space": space},
        dry_run=dry_run,
        as_json=as_json,
    )


def _train(options: dict[str, Any], *, dry_run: bool, as_json: bool) -> None:
    from hwnas.pipeline.single_training import Training, prepare, train_architecture

    asked = Training(**options)
    if dry_run:
        return print_json(prepare(asked).document())
    with resumable("the same command; what is trained stays"):
        trained = train_architecture(asked)
    facts = {
        "architecture": trained.architecture,
        "val_accuracy": trained.val_accuracy,
        "test_accuracy": trained.test_accuracy,
        **trained.costs,
        "epochs": trained.epochs,
        "folder": str(trained.folder),
        "onnx": str(trained.onnx),
    }
    return print_json(facts) if as_json else print_table(("what", "value"), facts.items())
