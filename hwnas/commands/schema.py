"""`hwnas schema`: what the commands print with --json, for programs that drive them."""

from __future__ import annotations

from typing import Annotated

import typer

from targets.errors import UsageError, did_you_mean

from .output import print_json


def schema(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND]", help="One or two words; none lists all.")
    ] = None,
) -> None:
    """Print the JSON schema of what a command prints with --json.

    \b
    Examples:
      hwnas schema                    the commands that have one
      hwnas schema predict
      hwnas schema tables show
    """  # noqa: D301  (\b, the character, keeps the lines of the examples)
    from hwnas.commands.documents.schemas import PRINTED, schema_of

    if not command:
        return print("\n".join(PRINTED))
    name = " ".join(command)
    if name not in PRINTED:
        raise UsageError(f"no command {name!r} prints a JSON document; {did_you_mean(name, PRINTED)}")
    return print_json(schema_of(name))
