"""Write files whole or not at all: temporary file, flush, fsync, rename.

A file that was cut off while it was written is the commonest way to lose a run.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
import tempfile
from pathlib import Path
from typing import Any

from .errors import DamagedFileError, UsageError

_MOST_JSON_BYTES = 2_000_000_000


def write_atomic(path: Path, data: bytes | str) -> None:
    """Replace `path` by `data` in one step; the old content survives any failure on the way.

    DamagedFileError names the path and the bytes needed when the disk refuses (full, read-only).
    """
    raw = data.encode() if isinstance(data, str) else data
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:  # raised again: no failure leaves a torn file behind
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise DamagedFileError(
            f"cannot write {path} ({len(raw)} bytes): {error.strerror}; free space or check the "
            f"permissions, then resume. The previous content is intact"
        ) from error


def unfinished(path: Path) -> Path:
    """The file to fill before it takes the place of `path`, for what is not written in one piece.

    Its name is that of a temporary file of `write_atomic`, so that a run directory removes what a kill left.
    """
    return path.with_name(f".{path.name}.{'0' * 8}")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON with sorted keys; ValueError for NaN and infinity."""
    write_atomic(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_regular(path: Path, most_bytes: int) -> bytes:
    """All of a regular file; OSError for a pipe or a device, which is not waited for, and a larger file."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        facts = os.fstat(handle)
        if stat.S_ISDIR(facts.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        if facts.st_size > most_bytes:
            said = f"it has {facts.st_size} bytes, at most {most_bytes} are read"
            raise OSError(errno.EFBIG, said, str(path))
        return file.read()  # a limit would be allocated first


def read_json(path: Path, what: str) -> Any:
    """The JSON in `path`; DamagedFileError names `what` when it is missing, empty or torn."""
    try:
        return json.loads(read_regular(path, _MOST_JSON_BYTES))
    except FileNotFoundError:
        raise DamagedFileError(f"{what}: {path} does not exist") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedFileError(f"{what}: {path} is damaged ({error}); restore or delete it") from None


def user_path(text: str | Path) -> Path:
    """The path that a user means, `~` for a home folder; one of nobody stays as it is, and does not exist.

    `Path.expanduser` raises RuntimeError there, which no door expects.
    """
    return Path(os.path.expanduser(text))  # noqa: PTH111  (see above)


def sha256(data: bytes | Path) -> str:
    """Hexadecimal SHA-256 of bytes or of a file's content."""
    digest = hashlib.sha256()
    if isinstance(data, bytes):
        digest.update(data)
    else:
        with data.open("rb") as file:
            for chunk in iter(lambda: file.read(1 << 20), b""):
                digest.update(chunk)
    return digest.hexdigest()


def digest_of(value: Any) -> str:
    """Hexadecimal SHA-256 of a JSON value, whatever the order of its keys."""
    return sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode())


def safe_name(text: str) -> str:
    """`text` reduced to `[a-z0-9._-]`, at most 80 characters: one path component.

    >>> safe_name("Raspberry Pi 5")
    'raspberry-pi-5'
    """
    name = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-.")[:80]
    if not name:
        raise UsageError(f"{text!r} cannot be a name; use letters, digits, '.', '_' or '-'")
    return name
