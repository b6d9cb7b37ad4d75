"""`hwnas profile`: a device characterised, or the table of a search space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.runs.profile_options import DEVICE_MINUTES, DeviceProfileOptions
from targets.errors import UsageError

from .derived import takes_options
from .interrupted import resumable
from .options import JsonOption, load_targets
from .output import print_json, print_table, say

if TYPE_CHECKING:
    from hwnas.runs.log import Log
    from targets import Target


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
      hwnas profile --target pi-4.toml --target pi-5.toml --target phone.toml

    With --space: measure what the blocks of a search space cost, for `hwnas search`, which finds the table.
    Both state their error on networks that they have not seen. A profile that was stopped goes on when the
    same command is given again. Several devices are measured side by side; one that goes away is asked again
    while the others go on.
    """  # noqa: D301  (\b, the character, keeps the lines of the examples)
    devices = load_targets(given.get("targets"))
    space, minutes = given.get("space"), given.get("minutes")
    if minutes is None and space is None:
        minutes = DEVICE_MINUTES
    options: dict[str, Any] = {"minutes": minutes, "seed": given.get("seed", 0)}
    options["accept_noise"] = given.get("accept_noise", False)
    of_space = {name: given[name] for name in _OF_A_SPACE if name in given}
    start_from = given.get("start_from")
    options |= _of_device(start_from, of_space) if space is None else _of_space(start_from, of_space)
    if dry_run:
        described = [device.to_json() for device in devices]
        of = {"target": described[0]} if len(devices) == 1 else {"targets": described}
        return print_json({**of, "space": space, **options})
    answers = _profiled(devices, space, options, given.get("home"))
    if as_json:
        print_json(answers[0] if len(answers) == 1 else {"targets": answers})
    elif len(answers) == 1:
        from hwnas.commands.documents.tables import brief_rows, name_of

        print_table(("what", "value"), brief_rows(answers[0]))
        print(f"all of it: hwnas tables show {name_of(answers[0])}")
    else:
        print_table(_COLUMNS, [_row(answer) for answer in answers])
    return _end(answers)


def _profiled(
    devices: Sequence[Target], space: str | None, options: Mapping[str, Any], home: str | None
) -> list[dict[str, Any]]:
    """A document per device; the only one that fails raises its error."""
    from hwnas.commands.documents import profile as documents
    from hwnas.commands.documents.profile_many import profile_many
    from hwnas.commands.documents.tables import table_facts
    from hwnas.runs.log import Log
    from lut.home import data_home

    folder, log = data_home(home), Log()

    def one(device: Target, told: Log) -> Any:
        if space is None:
            return documents.profile_device(device, **options, home=folder, log=told)
        return documents.profile_space(device, space, **options, home=folder, log=told)

    with resumable("the same command; what is measured stays") if space is None else nullcontext():
        if len(devices) == 1:
            return [table_facts(one(devices[0], log))]
        return profile_many(devices, one, {"space": space, **options}, folder, log)


_COLUMNS = ("target", "state", "error", "date")


def _row(answer: Mapping[str, Any]) -> tuple[object, ...]:
    """Of the table of several devices."""
    if "failure" in answer:
        return answer["target"], "failed", None, None
    error_pct = answer["errors"].get("mape_pct")
    error = None if error_pct is None else f"{error_pct:.1f} %"
    return answer["target"], answer["state"], error, answer["date"]


def _end(answers: Sequence[Mapping[str, Any]]) -> None:
    """Name the devices that failed; the exit code is theirs."""
    from hwnas.commands.documents.model_files import exit_code_of

    failed = [answer for answer in answers if "failure" in answer]
    for answer in failed:
        say(f"error: {answer['target']}: {answer['failure']}")
    if failed:
        others = "" if len(failed) == len(answers) else "; the others are stored"
        say(
            f"{len(failed)} of {len(answers)} devices are not profiled{others}; the same command goes on "
            "with what lacks"
        )
        raise typer.Exit(exit_code_of([answer["exit_code"] for answer in failed]))


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
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UsageError(f"{flags}: only networks of a space have this; give --space too, or leave it away")
    return {"start_from": start_from or []}


def _of_space(start_from: list[str] | None, given: dict[str, Any]) -> dict[str, Any]:
    """The further options of the table of a space, defaults filled in."""
    from lut.tables.request import BLOCK_LEVEL, check_method

    if start_from:
        raise UsageError("--start-from is for the predictor of a device; leave it or --space away")
    options: dict[str, Any] = {"image_size": 32, "in_channels": 3, "n_classes": 10, "width_mult": None}
    options |= {"method": BLOCK_LEVEL, "batch": 1}
    options |= {_OF_A_SPACE[name]: value for name, value in given.items()}
    check_method(options["method"])
    return options
