"""Reading the TOML definition of a space: typed values out of tables, faults by their place."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from targets.errors import UsageError, did_you_mean


def need(table: Mapping[str, Any], name: str, kind: type, where: str, place: str = "") -> Any:
    """`table[name]`, which must be of that type."""
    value = table.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UsageError(f"{where}: {place}{name} must be given as {kind.__name__}, got {value!r}")
    return value


def positive(
    table: Mapping[str, Any], name: str, where: str, place: str = "", allowed: range = range(1, 4097)
) -> int:
    """The integer `table[name]` in `allowed`."""
    value: int = need(table, name, int, where, place)
    if value not in allowed:
        raise UsageError(f"{where}: {place}{name} = {value} must lie in {allowed[0]} to {allowed[-1]}")
    return value


def known(table: Mapping[str, Any], names: Collection[str], where: str, place: str = "") -> None:
    """UsageError for a key that is not among `names`."""
    for name in table:
        if name not in names:
            raise UsageError(f"{where}: unknown key {place}{name}; {did_you_mean(name, names)}")


def different_names(table: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
    """The list of different names `table[name]`."""
    names = tuple(need(table, name, list, where))
    texts = {n for n in names if isinstance(n, str)}
    if len(texts) != len(names) or not names:
        raise UsageError(f"{where}: {name} must be a list of different names, got {list(names)}")
    return names
