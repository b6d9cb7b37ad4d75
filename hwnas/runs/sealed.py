"""JSON files that know their own SHA-256, so that a damaged one cannot be mistaken for a good one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from targets.errors import DamagedFileError
from targets.files import read_json, sha256, write_json

SEAL = "sha256"


def write_sealed(path: Path, document: dict[str, Any]) -> None:
    """`document` with its own hash under "sha256", written in one step; NaN is refused."""
    write_json(path, {**document, SEAL: _hash(document)})


def read_sealed(path: Path, what: str) -> dict[str, Any]:
    """The document without its seal; DamagedFileError when the file is torn or was changed."""
    document = read_json(path, what)
    if not isinstance(document, dict) or SEAL not in document:
        raise DamagedFileError(f"{what}: {path} is damaged (it carries no checksum); restore or delete it")
    seal = document.pop(SEAL)
    if seal != _hash(document):
        raise DamagedFileError(
            f"{what}: {path} does not match its own checksum: it is damaged or was edited; restore or "
            f"delete it"
        )
    return document


def _hash(document: dict[str, Any]) -> str:
    return sha256(json.dumps(document, sort_keys=True, allow_nan=False).encode())
