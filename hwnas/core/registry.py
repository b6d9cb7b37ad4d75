"""The one registry: parts by name, filled where they are defined.

A row of a table (`methods.py`) names its parts instead of holding them, so that it can be printed,
compared and written in TOML.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from targets.errors import UsageError, did_you_mean

from .declared import declared

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part:
    """A registered part by name, with the options that it is called with."""

    name: str
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        options = ", ".join(f"{key}={value!r}" for key, value in self.options)
        return f"{self.name}({options})" if options else self.name

    @property
    def keywords(self) -> dict[str, Any]:
        """The options as keyword arguments."""
        return dict(self.options)


def part(name: str, **options: Any) -> Part:
    """`part("unrolled", r=0.3)`: a part and its options."""
    return Part(name, tuple(sorted(options.items())))


class Registry(Generic[T]):
    """Names to parts of one kind; refuses a second part of a name, lists the choices on a miss."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._parts: dict[str, T] = {}

    def add(self, name: str) -> Callable[[T], T]:
        """Decorator that files the decorated object under `name`."""

        def file(item: T) -> T:
            if name in self._parts:
                raise UsageError(f"{self.kind} {name!r} is registered already; choose another name")
            self._parts[name] = item
            return item

        return file

    @contextmanager
    def lent(self, name: str, item: T) -> Iterator[T]:
        """`item` under `name` while a `with` block lasts, as a test or a notebook may want it."""
        self.add(name)(item)
        try:
            yield item
        finally:
            del self._parts[name]

    def __getitem__(self, name: str) -> T:
        if name not in self._parts:
            raise UsageError(f"unknown {self.kind} {name!r}; {did_you_mean(name, self._parts)}")
        return self._parts[name]

    def __contains__(self, name: object) -> bool:
        return name in self._parts

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    @property
    def parts(self) -> Mapping[str, T]:
        """All of them, read-only, in the order of definition."""
        return MappingProxyType(self._parts)


def bound(registry: Registry[Callable[..., Any]], p: Part) -> Callable[..., Any]:
    """The function of a part, with its options."""
    return partial(registry[p.name], **p.keywords) if p.options else registry[p.name]


def check_part(registry: Registry[Any], p: Part, where: str) -> None:
    """UsageError when the part or an option of it does not exist, has the wrong type, or is missing."""
    check_options(registry[p.name], p, f"{where}: {registry.kind} {p.name!r}")


def check_options(function: Callable[..., Any], p: Part, what: str) -> None:
    """UsageError when `function` has no such option, it has the wrong type, or one is missing."""
    parameters = inspect.signature(function, eval_str=True).parameters.values()
    known = {a.name: a for a in parameters if a.kind is a.KEYWORD_ONLY}
    for name, value in p.options:
        if name not in known:
            hint = did_you_mean(name, known) if known else "it takes none"
            raise UsageError(f"{what} has no option {name!r}; {hint}")
        declared(value, known[name].annotation, f"{what}: {name}")
    missing = [n for n, a in known.items() if a.default is a.empty and n not in p.keywords]
    if missing:
        raise UsageError(f"{what} needs a value for {', '.join(missing)}")
