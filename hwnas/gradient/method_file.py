"""A method of the user's own, as a TOML file: a row of the table from names and numbers.

name = "mine"
base = "pc-darts"                                  # what it starts from; default: darts
hypergradient = { name = "unrolled", r = 0.3 }     # a part with options, or a name alone
relax = { weight = "softmax", arch = { name = "topk", t_max = 100.0 } }
regularisers = [{ name = "beta_decay", weight = [0.0, 50.0] }]

[[stages]]
name = "search"
frozen = 0.3
edges = { partial = { name = "constant", value = 4 } }

[arch]
lr = 6e-4
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from hwnas.core.declared import declared, number, optional, pair, typed
from hwnas.core.registry import Part, part
from targets.errors import UsageError, did_you_mean
from targets.toml_file import read_toml

from .method import Method, TermSpec
from .methods import METHODS
from .stage import Stage
from .step.optim import AdamSettings, SGDSettings

T = TypeVar("T", SGDSettings, AdamSettings)

_PARTS = ("policy", "hypergradient", "weight_rule", "objective", "decode")
_TEXTS = ("name", "title", "paper")
_KEYS = (
    _TEXTS
    + _PARTS
    + (
        "base",
        "relax",
        "stages",
        "regularisers",
        "callbacks",
        "weights",
        "arch",
        "label_smoothing",
    )
)


def find_method(name: str) -> Method:
    """A row of the table by name, or that of a TOML file by path."""
    return load_method(Path(name)) if name.endswith(".toml") else METHODS[name]


def load_method(path: Path) -> Method:
    """The row that the file describes, every name and type checked; it is not added to the table."""
    table = read_toml(path, "method file", "`hwnas methods show NAME` shows the parts of one")
    row = _row(table, f"method file {path}")
    row.check()
    return row


def _row(table: Mapping[str, Any], where: str) -> Method:
    _only(table, _KEYS, where)
    base = METHODS[typed(table.get("base", "darts"), str, f"{where}: base")]
    changes: dict[str, Any] = {
        "title": f"{table.get('name', 'a method')}, made from {base.name}",
        "name": typed(table.get("name", ""), str, f"{where}: name"),
    }
    if not changes["name"].strip() or not changes["name"].isprintable() or changes["name"] in METHODS:
        raise UsageError(f"{where}: give the method a name of its own, got {changes['name']!r}")
    for key in ("title", "paper"):
        if key in table:
            changes[key] = typed(table[key], str, f"{where}: {key}")
    for key in _PARTS:
        if key in table:
            changes[key] = _part(table[key], f"{where}: {key}")
    if "relax" in table:
        places = typed(table["relax"], dict, f"{where}: relax")
        _only(places, tuple(base.relax.parts), f"{where}: relax")
        parts = {place: _part(p, f"{where}: relax.{place}") for place, p in places.items()}
        changes["relax"] = dataclasses.replace(base.relax, **parts)
    if "stages" in table:
        changes["stages"] = tuple(
            _stage(s, f"{where}: stage {i + 1}") for i, s in enumerate(_list(table, "stages", where))
        )
    if "regularisers" in table:
        changes["regularisers"] = tuple(
            _term(t, f"{where}: regularisers") for t in _list(table, "regularisers", where)
        )
    if "callbacks" in table:
        changes["callbacks"] = tuple(
            _part(p, f"{where}: callbacks") for p in _list(table, "callbacks", where)
        )
    if "label_smoothing" in table:
        changes["label_smoothing"] = number(table["label_smoothing"], f"{where}: label_smoothing")
    for key in ("weights", "arch"):
        if key in table:
            changes[key] = _settings(getattr(base, key), table[key], f"{where}: {key}")
    return dataclasses.replace(base, **changes)


def _stage(value: Any, where: str) -> Stage:
    table = dict(typed(value, dict, where))
    _only(table, tuple(f.name for f in dataclasses.fields(Stage)), where)
    table.setdefault("name", "search")
    for key in ("name", "start"):
        typed(table.get(key, ""), str, f"{where}: {key}")
    if "edges" in table:
        edges = typed(table["edges"], dict, f"{where}: edges")
        table["edges"] = tuple((name, _part(p, f"{where}: edges.{name}")) for name, p in edges.items())
    if "temperature" in table:
        table["temperature"] = pair(table["temperature"], f"{where}: temperature")
    if table.get("arch_every") == 0:  # TOML has no null
        table["arch_every"] = None
    if "elastic" in table:
        sizes = typed(table["elastic"], dict, f"{where}: elastic")
        table["elastic"] = tuple(
            (name, typed(n, int, f"{where}: elastic.{name}")) for name, n in sizes.items()
        )
    if "weight_rule" in table:
        table["weight_rule"] = _part(table["weight_rule"], f"{where}: weight_rule")
    for key in ("share", "frozen", "warmup", "options", "lr"):
        if key in table:
            table[key] = number(table[key], f"{where}: {key}")
    for key in ("arch_every", "cells"):
        if table.get(key) is not None:
            typed(table[key], int, f"{where}: {key}")
    return Stage(**table)


def _term(value: Any, where: str) -> TermSpec:
    table = dict(typed(value, dict, where))
    weight, after = table.pop("weight", 1.0), table.pop("after", 0.0)
    ends = pair(weight, where) if isinstance(weight, list) else (number(weight, where),) * 2
    return TermSpec(_part(table, where), weight=(ends[0], ends[1]), after=number(after, where))


def _part(value: Any, where: str) -> Part:
    """`"softmax"`, or `{ name = "topk", t_max = 100.0 }`."""
    if isinstance(value, str):
        return part(value)
    table = dict(typed(value, dict, where))
    name = typed(table.pop("name", None), str, f"{where}: name")
    for key, option in table.items():
        if not isinstance(option, (str, int, float, bool)):
            raise UsageError(f"{where}: {key} must be text, a number or true/false, got {option!r}")
    return Part(name, tuple(sorted(table.items())))


def _settings(base: T, value: Any, where: str) -> T:
    """The dataclass `base` with the values of a table, each of the type of its field."""
    table, kinds = dict(typed(value, dict, where)), get_type_hints(type(base))
    _only(table, tuple(kinds), where)
    for key, raw in table.items():
        none = optional(kinds[key]) and type(raw) is not bool and raw == 0  # TOML has no null
        table[key] = None if none else declared(raw, kinds[key], f"{where}.{key}")
    return dataclasses.replace(base, **table)


def _list(table: Mapping[str, Any], key: str, where: str) -> list[Any]:
    items: list[Any] = typed(table[key], list, f"{where}: {key}")
    return items


def _only(table: Iterable[str], known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            raise UsageError(f"{where}: unknown key {key!r}; {did_you_mean(key, known)}")
