"""Files that a training was planned with: weights to start from, a teacher."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from targets.errors import DamagedFileError
from targets.files import sha256


def planned_bytes(spec: Mapping[str, Any], what: str) -> bytes:
    """The file of a job's `start` or `teacher`, which must be the one it was made for.

    what: it is, for the DamagedFileError of another one.
    """
    path = Path(spec["file"])
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DamagedFileError(f"{what}: {path}: {error.strerror}; restore the file") from None
    if sha256(raw) != spec["sha256"]:
        raise DamagedFileError(
            f"{what}: {path} is not as it was when the training was planned; restore the file"
        )
    return raw
