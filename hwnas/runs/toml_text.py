"""TOML files of options: read with one clear error, written from flat values."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from targets.errors import UsageError

# A configuration is a page of text; more than this is another file given by mistake.
MAX_CONFIG_BYTES = 1_000_000


def read_toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file; UsageError when it is missing, huge, binary or not TOML."""
    try:
        size_bytes = path.stat().st_size
        if size_bytes > MAX_CONFIG_BYTES:
            raise UsageError(f"{path}: {size_bytes} bytes is no configuration; at most {MAX_CONFIG_BYTES}")
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"not TOML: {error}"
        raise UsageError(f"{path}: {reason}") from None


def dump_toml(values: Mapping[str, Any]) -> str:
    """Flat values (strings, numbers, booleans, lists of them) as TOML; `read_toml` reads them back."""
    return "".join(f"{key} = {_toml_value(value)}\n" for key, value in values.items())


def _toml_value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml_value(v) for v in value) + "]"
    # JSON's strings, numbers and booleans are TOML's, but for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")
