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
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from targets.errors import UsageError, did_you_mean

from ..registry import Part, part
from .method import Method, Term, relax
from .methods import METHODS
from .stage import Stage

_MAX_BYTES = 1_000_000

T = TypeVar("T")

_PARTS = ("policy", "hypergradient", "weight_rule", "objective", "decode")
_TEXTS = ("name", "title", "paper")
_KEYS = (*_TEXTS, *_PARTS, "base", "relax", "stages", "regularisers", "callbacks", "weights", "arch",
         "label_smoothing")  # fmt: skip


def find_method(name: str) -> Method:
    """A row of the table by name, or that of a TOML file by path."""
    return load_method(Path(name)) if name.endswith(".toml") else METHODS[name]


def load_method(path: Path) -> Method:
    """The row that the file describes, every name and type checked; it is not added to the table."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError(f"{path}: {path.stat().st_size} bytes are too many for a method")
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"method file {path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"method file {path} is no TOML: {error}") from error
    row = _row(table, f"method file {path}")
    row.check()
    return row


def _row(table: Mapping[str, Any], where: str) -> Method:
    _only(table, _KEYS, where)
    base = METHODS[_typed(table.get("base", "darts"), str, f"{where}: base")]
    changes: dict[str, Any] = {
        "title": f"{table.get('name', 'a method')}, made from {base.name}",
        "name": _typed(table.get("name", ""), str, f"{where}: name"),
    }
    if not changes["name"] or changes["name"] in METHODS:
        raise UsageError(f"{where}: give the method a name of its own, got {changes['name']!r}")
    for key in ("title", "paper"):
        if key in table:
            changes[key] = _typed(table[key], str, f"{where}: {key}")
    for key in _PARTS:
        if key in table:
            changes[key] = _part(table[key], f"{where}: {key}")
    if "relax" in table:
        places = _typed(table["relax"], dict, f"{where}: relax")
        _only(places, tuple(base.relax.parts), f"{where}: relax")
        given = {place: _part(p, f"{where}: relax.{place}") for place, p in places.items()}
        changes["relax"] = relax(**(base.relax.parts | given))
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
        changes["label_smoothing"] = _number(table["label_smoothing"], f"{where}: label_smoothing")
    for key in ("weights", "arch"):
        if key in table:
            changes[key] = _settings(getattr(base, key), table[key], f"{where}: {key}")
    return dataclasses.replace(base, **changes)


def _stage(value: Any, where: str) -> Stage:
    table = dict(_typed(value, dict, where))
    _only(table, tuple(f.name for f in dataclasses.fields(Stage)), where)
    table.setdefault("name", "search")
    for key in ("name", "start"):
        _typed(table.get(key, ""), str, f"{where}: {key}")
    if "edges" in table:
        edges = _typed(table["edges"], dict, f"{where}: edges")
        table["edges"] = tuple((name, _part(p, f"{where}: edges.{name}")) for name, p in edges.items())
    if "temperature" in table:
        table["temperature"] = _pair(table["temperature"], f"{where}: temperature")
    if table.get("arch_every") == 0:  # TOML has no null
        table["arch_every"] = None
    if "elastic" in table:
        sizes = _typed(table["elastic"], dict, f"{where}: elastic")
        table["elastic"] = tuple(
            (name, _typed(n, int, f"{where}: elastic.{name}")) for name, n in sizes.items()
        )
    if "weight_rule" in table:
        table["weight_rule"] = _part(table["weight_rule"], f"{where}: weight_rule")
    for key in ("share", "frozen", "warmup", "options", "lr"):
        if key in table:
            table[key] = _number(table[key], f"{where}: {key}")
    for key in ("arch_every", "cells"):
        if table.get(key) is not None:
            _typed(table[key], int, f"{where}: {key}")
    return Stage(**table)


def _term(value: Any, where: str) -> Term:
    table = dict(_typed(value, dict, where))
    weight, after = table.pop("weight", 1.0), table.pop("after", 0.0)
    ends = _pair(weight, where) if isinstance(weight, list) else (_number(weight, where),) * 2
    return Term(_part(table, where), (ends[0], ends[1]), _number(after, where))


def _part(value: Any, where: str) -> Part:
    """`"softmax"`, or `{ name = "topk", t_max = 100.0 }`."""
    if isinstance(value, str):
        return part(value)
    table = dict(_typed(value, dict, where))
    name = _typed(table.pop("name", None), str, f"{where}: name")
    for key, option in table.items():
        if not isinstance(option, (str, int, float, bool)):
            raise UsageError(f"{where}: {key} must be text, a number or true/false, got {option!r}")
    return Part(name, tuple(sorted(table.items())))


def _settings(base: T, value: Any, where: str) -> T:
    """The dataclass `base` with the numbers that are given."""
    table = dict(_typed(value, dict, where))
    fields = {f.name: getattr(base, f.name) for f in dataclasses.fields(base)}  # type: ignore[arg-type]
    _only(table, tuple(fields), where)
    for key, given in table.items():
        if isinstance(fields[key], (bool, int)):
            _typed(given, type(fields[key]), f"{where}.{key}")
        else:
            table[key] = _pair(given, f"{where}.{key}") if isinstance(given, list) else given
            if not isinstance(given, list):
                table[key] = _number(given, f"{where}.{key}")
    return dataclasses.replace(base, **table)  # type: ignore[type-var]


def _list(table: Mapping[str, Any], key: str, where: str) -> list[Any]:
    found: list[Any] = _typed(table[key], list, f"{where}: {key}")
    return found


def _pair(value: Any, where: str) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise UsageError(f"{where} must be two numbers, got {value!r}")
    return _number(value[0], where), _number(value[1], where)


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or abs(value) > 1e30:
        raise UsageError(f"{where} must be a finite number, got {value!r}")
    return float(value)


def _typed(value: Any, kind: type, where: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        names = {str: "text", dict: "a table", list: "a list", int: "a whole number", bool: "true or false"}
        raise UsageError(f"{where} must be {names[kind]}, got {value!r}")
    return value


def _only(table: Iterable[str], known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            raise UsageError(f"{where}: unknown key {key!r}; {did_you_mean(key, known)}")
