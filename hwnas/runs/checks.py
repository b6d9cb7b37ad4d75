"""The one check of options: types, ranges and names, where they are given; every fault in one line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from hwnas.core.names import NAMES
from targets.errors import UsageError

from .allowed import refusal
from .definition import Named, definitions

if TYPE_CHECKING:
    from pydantic import TypeAdapter


def require_allowed(options: Any) -> None:
    """UsageError for options of the Python API with a value that is not allowed."""
    kind: type = type(options)
    values = {name: getattr(options, name) for name in definitions(kind)}
    require_values(kind, values, lambda name: f"{kind.__name__}: {name}")


def require_values(run_options: type, values: Mapping[str, Any], spell: Callable[[str], str]) -> None:
    """UsageError for values of options that are not allowed. spell: how an option is called in messages."""
    if faults := faults_of(run_options, values, spell):
        raise listed(faults)


def faults_of(
    run_options: type, values: Mapping[str, Any], spell: Callable[[str], str], *, names: bool = True
) -> list[str]:
    """Values of a wrong type, outside their range, or that name what there is not, a line each.

    names: False where what is named may be gone since, as in the options of a stored run.
    """
    faults = []
    for name, value in values.items():
        hint = _hints(run_options)[name]
        if not (_is_plain(value) and _is_allowed(run_options, name, value)):
            faults.append(refusal(spell(name), value, hint))
        elif names:
            faults += [f"{spell(name)}: {fault}" for fault in _name_faults(hint, value)]
    return faults


def listed(faults: Sequence[str]) -> UsageError:
    """One fault is one line."""
    return UsageError(faults[0] if len(faults) == 1 else "\n  ".join([f"{len(faults)} faults:", *faults]))


def _name_faults(hint: Any, value: Any) -> list[str]:
    kind = _kind_of_name(hint)
    if kind is None or value is None:
        return []
    texts = value if isinstance(value, (list, tuple)) else [value]
    return [fault for text in texts if (fault := NAMES[kind].fault(text)) is not None]


def _is_allowed(run_options: type, name: str, value: Any) -> bool:
    from pydantic import ValidationError

    try:
        # Through JSON, because strict mode refuses plain lists and paths otherwise.
        _adapter(run_options, name).validate_json(
            json.dumps(str(value) if isinstance(value, Path) else value)
        )
    except ValidationError:
        return False
    return True


@cache
def _adapter(run_options: type, name: str) -> TypeAdapter[Any]:
    from pydantic import ConfigDict, TypeAdapter

    return TypeAdapter(_hints(run_options)[name], config=ConfigDict(strict=True, allow_inf_nan=False))


@cache
def _hints(run_options: type) -> dict[str, Any]:
    return get_type_hints(run_options, include_extras=True)


def _kind_of_name(hint: Any) -> str | None:
    """The kind of `Named`, wherever in the type it stands."""
    for extra in getattr(hint, "__metadata__", ()):
        if isinstance(extra, Named):
            return extra.kind
    inner = [getattr(hint, "__origin__", None)] if hasattr(hint, "__metadata__") else get_args(hint)
    kinds = [kind for part in inner if part is not None and (kind := _kind_of_name(part)) is not None]
    return kinds[0] if kinds else None


def _is_plain(value: Any) -> bool:
    """Whether JSON can say it; not so text of a file name that is no Unicode (a lone surrogate)."""
    if isinstance(value, (list, tuple)):
        return all(isinstance(item, (str, int, float, bool)) and _is_plain(item) for item in value)
    if isinstance(value, (str, Path)):
        return str(value) == str(value).encode(errors="ignore").decode()
    return value is None or isinstance(value, (int, float, bool))
