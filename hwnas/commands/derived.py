"""Command-line options made of the definitions of a run's options, so that each is described once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from typing import Annotated, Any

import typer

from hwnas.runs.checks import require_values
from hwnas.runs.definition import Definition, definitions

_READ = {bool: bool | None, int: int | None, float: float | None, tuple: list[str] | None}
"""What typer reads; None where the user gives nothing. All else is text."""

Command = Callable[..., None]


def takes_options(
    run_options: type,
    *,
    spelt: Mapping[str, str] | None = None,
    defaults: Mapping[str, Any] | None = None,
    omit: Collection[str] = (),
) -> Callable[[Command], Command]:
    """A command with an option per definition of `run_options`, handed over as its first argument.

    That argument is a dict of the options that the user gave, by the names of the fields.

    spelt: how a field is called on the command line where that is another word; `a|b`: both.
    defaults: of the command where they are not those of the fields.
    omit: fields that the command does not offer.
    """
    known = {name: d for name, d in definitions(run_options).items() if name not in omit}
    derived = [
        _parameter(definition, (spelt or {}).get(name), (defaults or {}).get(name, definition.default))
        for name, definition in known.items()
    ]

    def decorate(command: Command) -> Command:
        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

        @wraps(command)
        def called(**values: Any) -> None:
            options = {name: values.pop(name) for name in known}
            given = {k: v for k, v in options.items() if v is not None and v != []}
            require_values(run_options, given, lambda name: flags_of(known[name], (spelt or {}).get(name))[0])
            command(given, **values)

        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*derived, *own)]
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
        called.__annotations__ = {p.name: p.annotation for p in parameters}
        return called

    return decorate


def help_of(definition: Definition, default: Any = None) -> str:
    """The help of an option as a sentence, with its default."""
    if isinstance(default, tuple):
        default = ", ".join(default) or None
    stated = "" if default is None or default is False else f"; default {default}"
    return f"{definition.option.help}{stated}."


def flags_of(definition: Definition, word: str | None) -> list[str]:
    """How the option is given. word: another name than that of the field; `a|b`: both."""
    return [f"--{one}" for one in word.split("|")] if word else [definition.flag]


def _parameter(definition: Definition, word: str | None, default: Any) -> inspect.Parameter:
    flags = flags_of(definition, word)
    option = typer.Option(
        *flags,
        help=help_of(definition, default),
        metavar="PATH" if definition.kind not in (*_READ, str) else None,
        rich_help_panel=definition.topic or None,
    )
    return inspect.Parameter(
        definition.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[_READ.get(definition.kind, str | None), option],
    )
