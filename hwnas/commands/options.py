"""Options and arguments that several commands have, and the defaults that their help states."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.runs.config import SearchConfig
from hwnas.runs.definition import definitions
from targets.errors import UsageError

from .derived import help_of

if TYPE_CHECKING:
    from targets import Target

DEFAULTS = SearchConfig()

INPUTS, OUTPUT = "Inputs", "Output"
"""Topics of the help."""

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document to stdout.", rich_help_panel=OUTPUT)
]
HomeOption = Annotated[
    str | None, typer.Option(help=help_of(definitions(SearchConfig)["home"]), rich_help_panel="Files")
]
QuietOption = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Show warnings and errors only.", rich_help_panel=OUTPUT),
]
ModelsArgument = Annotated[
    list[Path], typer.Argument(metavar="MODEL.onnx|FOLDER...", help="ONNX files, and folders of them.")
]
CsvOption = Annotated[
    bool,
    typer.Option("--csv", help="Print the table as CSV, a row per target and file.", rich_help_panel=OUTPUT),
]


def check_output_file(path: Path | None) -> Path | None:
    """UsageError before the work for a file that could not be written after it."""
    if path is None:
        return None
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give the name of a file in it")
    if not path.parent.is_dir():
        raise UsageError(f"{path} cannot be written: there is no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path} cannot be written: {path.parent} is read-only; give another folder")
    return path


def output_file(flag: str, what: str) -> Any:
    """An option that names a file to write, which is checked before the work."""
    return typer.Option(
        flag, metavar="FILE", help=f"{what}.", rich_help_panel=OUTPUT, callback=check_output_file
    )


SortOption = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Sort by this column; default as given.", rich_help_panel=OUTPUT),
]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=1,3,224,224",
        help="Sizes of an input whose shape is open, repeatable.",
        rich_help_panel=INPUTS,
    ),
]
InputOption = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="NAME=VALUE|FILE.npz",
        help="Numbers that an input is fed, or a file of them, repeatable; default what the graph takes.",
        rich_help_panel=INPUTS,
    ),
]
TableArgument = Annotated[
    str,
    typer.Argument(metavar="TABLE", help="The name, a part that only one has, or PART:LAST as host:mobile."),
]
TargetArgument = Annotated[str, typer.Argument(metavar="TARGET", help="A name or a TOML file.")]


def option(what: str, field: str | None = None, topic: str | None = None) -> Any:
    """An option's help under a topic, with the default of that field of SearchConfig."""
    said = f"{what}; default {getattr(DEFAULTS, field)}." if field else f"{what}."
    return typer.Option(help=said, rich_help_panel=topic)


def load_targets(names: Sequence[str] | None) -> list[Target]:
    """The targets of a repeated --target, by default this machine; UsageError where two have one name."""
    from targets import load_target

    targets = [load_target(name) for name in names or (DEFAULTS.target,)]
    twice = [t.name for i, t in enumerate(targets) if t.name in {other.name for other in targets[:i]}]
    if twice:
        raise UsageError(f"--target {twice[0]} is there twice; results need a name each")
    return targets
