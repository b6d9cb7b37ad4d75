"""Files as one piece of bytes: each with its SHA-256, which is checked where they are unpacked."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from targets.errors import DamagedFileError
from targets.files import safe_name, sha256, write_atomic

_FACTS = "facts.json"
_DAMAGES = (zipfile.BadZipFile, zlib.error, struct.error, RuntimeError, EOFError, ValueError, KeyError)


def pack(facts: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    """A zip, not compressed, of JSON facts and files by name."""
    buffer = io.BytesIO()
    document = {"facts": dict(facts), "sha256": {name: sha256(raw) for name, raw in files.items()}}
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_FACTS, json.dumps(document, allow_nan=False))
        for name, raw in files.items():
            archive.writestr(name, raw)
    return buffer.getvalue()


def unpack(raw: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The inverse; DamagedFileError where anything is not as it was packed."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            document = json.loads(archive.read(_FACTS))
            files = {name: archive.read(name) for name in document["sha256"]}
    except _DAMAGES as error:
        raise DamagedFileError(f"what came from a worker is damaged ({error}); its task is lost") from None
    for name, content in files.items():
        if name != safe_name(name) or sha256(content) != document["sha256"][name]:
            raise DamagedFileError(f"{name!r} from a worker does not match its checksum; its task is lost")
    facts: dict[str, Any] = document["facts"]
    return facts, files


def folder_files(folder: Path) -> dict[str, bytes]:
    """The files of a folder, not of folders in it, in the order in which they were written."""
    paths = [path for path in folder.iterdir() if path.is_file()]
    return {path.name: path.read_bytes() for path in sorted(paths, key=lambda p: p.stat().st_mtime_ns)}


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Each of them whole or not at all, in this order: the last one is what tells that all are there."""
    for name, raw in files.items():
        write_atomic(folder / name, raw)
