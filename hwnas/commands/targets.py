"""`hwnas targets`: devices that networks are measured on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from targets.errors import TargetError

from .latency import print_bench
from .options import DEFAULTS, HomeOption, JsonOption, TargetArgument
from .output import print_json, print_table

if TYPE_CHECKING:
    from targets import Target

targets_app = typer.Typer(help="Devices that networks are measured on.", no_args_is_help=True)


@targets_app.command("list")
def targets_list(as_json: JsonOption = False) -> None:
    """List the devices that come with hwnas."""
    from targets import known_targets, load_target

    found = [load_target(name) for name in known_targets()]
    if as_json:
        return print_json([target.to_json() for target in found])
    return print_table(
        ("name", "transport", *found[0].options),
        [(target.name, target.reach.transport, *target.options.values()) for target in found],
    )


@targets_app.command("show")
def targets_show(
    name: TargetArgument,
    as_json: JsonOption = False,
) -> None:
    """Print the TOML file of a device: copy it, edit it, and give it to `--target FILE`.

    For a device of precision int8 a comment at the end says the form into which networks are quantised.
    """
    from targets import load_target, target_file

    target = load_target(name)
    form = _described_form(target)
    if as_json:
        return print_json({**target.to_json(), "int8_form": form})
    print(target_file(name).read_text(encoding="utf-8"), end="")
    return print(f"\n# int8 form: {form}") if form else None


@targets_app.command("check")
def targets_check(
    name: TargetArgument = DEFAULTS.target,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a device has of what measuring needs, and measure a small network there; exit code 4 if not.

    Can it be reached, which Python and onnxruntime has it, is there room, is it quiet enough?
    """
    from hwnas.commands.documents.targets import check_target
    from hwnas.runs.log import Log
    from lut.home import data_home
    from targets import load_target

    document = check_target(load_target(name), home=data_home(home), log=Log())
    if as_json:
        print_json(document)
    else:
        columns = ("name", "state", "found", "advice")
        print_table(columns, [[need[column] for column in columns] for need in document["needs"]])
        if document["measured"]:
            print()
            print_bench([document["measured"]])
    missing = [need for need in document["needs"] if need["state"] == "missing"]
    if missing:
        raise TargetError("; ".join(f"{need['name']}: {need['advice']}" for need in missing))


def _described_form(target: Target) -> str | None:
    """The form of a target's int8 networks in words; None for another precision. The device is not asked."""
    if target.precision != "int8":
        return None
    if target.quantisation is not None:
        return f"{target.quantisation.text} (set by [quantisation])"
    if target.reach.transport == "local":
        from targets import host_facts

        return f"{target.int8_form(host_facts()).text} (the default for this CPU)"
    return f"the default for the CPU of the device, which `hwnas targets check {target.name}` asks for"
