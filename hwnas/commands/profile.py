"""`hwnas profile`: a device characterised, or the table of a search space."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from targets.errors import UsageError

from .interrupted import resumable
from .options import DEFAULTS, HomeOption, JsonOption, option
from .output import print_json, print_table

DEVICE_MINUTES = 5.0


def profile(
    target: Annotated[str, option("Device to measure, a name or a TOML file", "target")] = DEFAULTS.target,
    minutes: Annotated[
        float | None,
        option(f"Time to measure for; default {DEVICE_MINUTES:g}, for a space 0.8 and more by its size"),
    ] = None,
    start_from: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Predictor of another device or context, repeatable: a few networks correct the nearest.",
        ),
    ] = None,
    space: Annotated[
        str | None, option("Make the table of this search space instead, a name or a TOML file")
    ] = None,
    image_size: Annotated[int | None, option("For --space: side in pixels, 16 to 224; default 32")] = None,
    channels: Annotated[int | None, option("For --space: channels of an image; default 3")] = None,
    classes: Annotated[int | None, option("For --space: classes to tell apart; default 10")] = None,
    width_mult: Annotated[
        float | None, option("For --space: factor on all channels; default by image size")
    ] = None,
    method: Annotated[
        str | None,
        option("For --space: block-level, or in-context (profiles of whole networks); default block-level"),
    ] = None,
    batch: Annotated[int | None, option("For --space: images per inference; default 1")] = None,
    seed: Annotated[int, option("Seed of the networks drawn to measure", "seed")] = DEFAULTS.seed,
    accept_noise: Annotated[
        bool,
        typer.Option(
            "--accept-noise", help="Write it on a disturbed machine too, its noise stated, intervals as wide."
        ),
    ] = False,
    home: HomeOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the options, print them, and stop.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Characterise a device: from then on `hwnas predict` knows what any ONNX file costs there.

    \b
    Examples:
      hwnas profile                              this machine, five minutes, once
      hwnas profile --target board.toml --minutes 10
      hwnas profile --target board.toml --space mobile --image-size 96

    With --space: measure what the blocks of a search space cost, for `hwnas search`, which finds the table.
    Both state their error on networks that they have not seen. A profile that was stopped goes on when the
    same command is given again.
    """  # noqa: D301  (\b, the character, keeps the lines of the examples)
    from targets import load_target

    device = load_target(target)
    scale = {
        "image_size": image_size,
        "in_channels": channels,
        "n_classes": classes,
        "width_mult": width_mult,
        "method": method,
        "batch": batch,
    }
    given = {key: value for key, value in scale.items() if value is not None}
    options: dict[str, Any] = {"minutes": _minutes(minutes, space), "seed": seed}
    options["accept_noise"] = accept_noise
    options |= _of_device(start_from, given) if space is None else _of_space(start_from, given)
    if dry_run:
        return print_json({"target": device.to_json(), "space": space, **options})
    from hwnas.commands.documents.profile import profile_device, profile_space
    from hwnas.commands.documents.tables import flat_rows, table_facts
    from hwnas.runs.log import Log
    from lut.home import data_home

    options |= {"home": data_home(home), "log": Log()}
    if space is None:
        with resumable("the same command; what is measured stays"):
            facts = table_facts(profile_device(device, **options))
    else:
        facts = table_facts(profile_space(device, space, **options))
    return print_json(facts) if as_json else print_table(("what", "value"), flat_rows(facts))


def _minutes(asked: float | None, space: str | None) -> float | None:
    """None: as a space needs."""
    if asked is None:
        return DEVICE_MINUTES if space is None else None
    if not 0 < asked <= 1440:
        raise UsageError(f"--minutes must lie above 0 and at most at 1440, got {asked}")
    return asked


def _of_device(start_from: list[str] | None, given: dict[str, Any]) -> dict[str, Any]:
    """The further options of the predictor of a device; given: those of a space, which it has not."""
    if given:
        raise UsageError(
            f"{', '.join(given)} describe networks of a space; give --space too, or leave them away"
        )
    return {"start_from": start_from or []}


def _of_space(start_from: list[str] | None, given: dict[str, Any]) -> dict[str, Any]:
    """The further options of the table of a space, defaults filled in."""
    from lut.tables.request import BLOCK_LEVEL, check_method

    if start_from:
        raise UsageError("--start-from is for the predictor of a device; leave it or --space away")
    options: dict[str, Any] = {"image_size": 32, "in_channels": 3, "n_classes": 10, "width_mult": None}
    options |= {"method": BLOCK_LEVEL, "batch": 1, **given}
    check_method(options["method"])
    if not 1 <= options["batch"] <= 1024:
        raise UsageError(f"--batch must lie in 1 to 1024, got {options['batch']}")
    return options
