"""JSON documents that hold their own checksum, so that a damaged one cannot be mistaken for a good one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import DamagedFileError
from .files import read_json, sha256, write_json

FIELD = "sha256"
"""Where the checksum stands in the document; it covers all other fields."""


def checksum(document: Mapping[str, Any], *, compact: bool = False) -> str:
    """The SHA-256 of `document` as JSON with sorted keys; ValueError for NaN and infinity.

    compact: without spaces in the JSON, as tables and predictors have it.
    """
    separators = (",", ":") if compact else None
    return sha256(json.dumps(document, sort_keys=True, separators=separators, allow_nan=False).encode())


def is_intact(document: Mapping[str, Any], *, compact: bool = False) -> bool:
    """Whether the checksum in `document` is that of its other fields."""
    content = {name: value for name, value in document.items() if name != FIELD}
    try:
        return document.get(FIELD) == checksum(content, compact=compact)
    except ValueError:  # NaN, which no version writes
        return False


def write_checksummed(path: Path, document: Mapping[str, Any], *, compact: bool = False) -> None:
    """Write `document` and its checksum in one step; NaN is refused."""
    write_json(path, {**document, FIELD: checksum(document, compact=compact)})


def read_checksummed(
    path: Path, what: str, *, compact: bool = False, advice: str = "restore or delete it"
) -> dict[str, Any]:
    """The document without its checksum; DamagedFileError when the file is torn or was changed.

    what, advice: for the message: what the file is, and what to do about a damaged one.
    """
    document = read_json(path, what)
    if not isinstance(document, dict) or FIELD not in document:
        raise DamagedFileError(f"{what}: {path} is damaged (it carries no checksum); {advice}")
    if not is_intact(document, compact=compact):
        raise DamagedFileError(
            f"{what}: {path} does not match its own checksum: it is damaged or was edited; {advice}"
        )
    return {name: value for name, value in document.items() if name != FIELD}
