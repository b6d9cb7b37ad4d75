"""What an ONNX file says of how it is fed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from hwnas.core.words import number


def metadata_of(model: bytes) -> dict[str, Any]:
    """What the file says of how it is fed, where hwnas wrote it."""
    import onnx

    props = {p.key: p.value for p in onnx.load_model_from_string(model).metadata_props}
    known = {k: props[k] for k in _TEXTS if k in props}
    for key in _VALUES & set(props):
        try:
            value = json.loads(props[key])
        except (ValueError, RecursionError):
            continue  # another tool's key of that name
        if key not in _LISTS or (isinstance(value, list) and all(map(_LISTS[key], value))):
            known[key] = value
    return known


def _is_number(value: Any) -> bool:
    return not isinstance(value, str) and number(value) is not None


_LISTS: Mapping[str, Callable[[Any], bool]] = {
    "mean": _is_number,
    "std": _is_number,
    "class_names": lambda value: isinstance(value, str),
}
"""Values that are lists, and what an entry is; another tool's key of that name may hold anything."""


_TEXTS = ("sample", "input_layout", "colour_order", "preprocessing", "normalisation", "data")
_VALUES = {"mean", "std", "scale", "class_names"}
