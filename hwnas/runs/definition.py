"""What an option is: how a field of a run's options is described, and read back from its class."""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema


@dataclass(frozen=True, slots=True)
class Option:
    """What is said of an option besides its type.

    help: one phrase, without a full stop. free: another value on resume is the same run, because the option
    limits it, says where things lie, or what is shown. repeated: the singular that a command line repeats.
    """

    help: str
    free: bool = False
    repeated: str | None = None


@dataclass(frozen=True, slots=True)
class ReadAs:
    """The stricter type that a configuration is checked against where it is read from text.

    words: what it allows, where the type does not say it shortly.
    """

    kind: Any
    words: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(self.kind)


@dataclass(frozen=True, slots=True)
class Named:
    """Each text of the option is a name of that kind (`hwnas.core.names`), or what else it accepts."""

    kind: str


@dataclass(frozen=True, slots=True)
class Definition:
    """One option of a kind of run."""

    name: str
    default: Any
    kind: type
    """bool, int, float, str, Path, or tuple for several strings."""
    option: Option
    topic: str = ""
    """Of the group that defines it, for the help."""

    @property
    def flag(self) -> str:
        """On the command line."""
        return f"--{(self.option.repeated or self.name).replace('_', '-')}"


@cache
def definitions(run_options: type) -> dict[str, Definition]:
    """The options of a kind of run by name: its own, then those of its groups in their order."""
    hints = get_type_hints(run_options, include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(run_options)}
    annotated = [(name, group) for group in run_options.__mro__ for name in inspect.get_annotations(group)]
    names, groups = dict.fromkeys(name for name, _ in annotated), dict(reversed(annotated))
    known = {}
    for name in names:
        option = _option_of(hints[name]) if name in fields else None
        if option is not None:
            known[name] = Definition(
                name=name,
                default=fields[name].default,
                kind=_kind_of(hints[name]),
                option=option,
                topic=getattr(groups[name], "topic", ""),
            )
    return known


def free_on_resume(run_options: type) -> frozenset[str]:
    """The options that may change while a run goes on."""
    return frozenset(name for name, known in definitions(run_options).items() if known.option.free)


def _option_of(hint: Any) -> Option | None:
    """The outermost one: a nearer definition is the more special."""
    if get_origin(hint) is not Annotated:
        return None
    stated = [extra for extra in hint.__metadata__ if isinstance(extra, Option)]
    return stated[-1] if stated else _option_of(get_args(hint)[0])


def _kind_of(hint: Any) -> type:
    """The plain type that a command line reads."""
    if get_origin(hint) is Annotated:
        return _kind_of(hint.__origin__)
    if isinstance(hint, type):
        return hint
    kinds = [_kind_of(part) for part in get_args(hint) if part not in (type(None), ...)]
    return tuple if get_origin(hint) is tuple else kinds[-1]
