"""`hwnas profile`: a device characterised, or the table of a search space."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hwnas.runs.profile_options import DEVICE_MINUTES, DeviceProfileOptions
from targets.errors import UsageError

from .derived import takes_options
from .interrupted import resumable
from .options import JsonOption
from .output import print_json, print_table


@takes_options(DeviceProfileOptions)
def profile(
    given: dict[str, Any],
    *,
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

    device, space, minutes = (
        load_target(given.get("target", "host")),
        given.get("space"),
        given.get("minutes"),
    )
    if minutes is None and space is None:
        minutes = DEVICE_MINUTES
    options: dict[str, Any] = {"minutes": minutes, "seed": given.get("seed", 0)}
    options["accept_noise"] = given.get("accept_noise", False)
    of_space = {keyword: given[name] for name, keyword in _OF_A_SPACE.items() if name in given}
    start_from = given.get("start_from")
    options |= _of_device(start_from, of_space) if space is None else _of_space(start_from, of_space)
    if dry_run:
        return print_json({"target": device.to_json(), "space": space, **options})
    from hwnas.commands.documents.profile import profile_device, profile_space
    from hwnas.commands.documents.tables import flat_rows, table_facts
    from hwnas.runs.log import Log
    from lut.home import data_home

    options |= {"home": data_home(given.get("home")), "log": Log()}
    if space is None:
        with resumable("the same command; what is measured stays"):
            facts = table_facts(profile_device(device, **options))
    else:
        facts = table_facts(profile_space(device, space, **options))
    return print_json(facts) if as_json else print_table(("what", "value"), flat_rows(facts))


_OF_A_SPACE = {
    "image_size": "image_size",
    "channels": "in_channels",
    "classes": "n_classes",
    "width_mult": "width_mult",
    "method": "method",
    "batch": "batch",
}
"""Options that belong to --space, and the keywords that they are."""


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
    return options
