"""Zip archives with the same bytes for the same content; one of them is the code that travels to a device.

On the device, `targets` and `profilers` are one zip file, which Python runs as it is.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import profilers
import targets
from targets.files import sha256

_START = b"import sys\n\nfrom profilers.remote import main\n\nsys.exit(main())\n"
_DATE = (1980, 1, 1, 0, 0, 0)


@cache
def code_archive() -> bytes:
    """The archive of this version's code."""
    files = {"__main__.py": _START}
    for package in (targets, profilers):
        root = Path(package.__file__ or "").parent
        files |= {f"{root.name}/{path.name}": path.read_bytes() for path in root.glob("*.py")}
    return stored_zip(files)


def stored_zip(files: Mapping[str, bytes]) -> bytes:
    """A zip archive of the files: sorted, undated, uncompressed (zlib's output differs by version)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, _DATE), data)
    return buffer.getvalue()


def archive_name() -> str:
    """The name of the code on the device; versions of the code have different names."""
    return f"hwnas-{sha256(code_archive())[:16]}.zip"
