"""TOML files that a user names: one reader for targets, spaces, methods and configurations."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

from .errors import UsageError

MAX_BYTES = 1000000
"""Such a file is a page of text; more than this is another file given by mistake."""

_NESTED = "it is nested too deeply"


def read_toml(path: Path, what: str, advice: str = "") -> dict[str, Any]:
    """The values of the file; UsageError when it is missing, no regular file, huge, binary or no TOML.

    what: the file holds, for messages. advice: what to do where there is no file. Needs Python 3.11
    (tomllib): TOML is read on the host, and boards get JSON.
    """
    import tomllib

    place = f"{what} {path}"
    try:
        text = _read(path, place).decode("utf-8-sig")
        values = tomllib.loads(text)
    except FileNotFoundError:
        raise UsageError(f"{place} does not exist{advice and '; '}{advice}") from None
    except OSError as error:
        why = "its name is too long" if error.errno == errno.ENAMETOOLONG else error.strerror
        shown = place if len(place) < 200 else f"{place[:200]}…"
        raise UsageError(f"{shown} cannot be read: {why}; give the path of a TOML file") from None
    except RecursionError:
        raise UsageError(f"{place} is no TOML of ours: {_NESTED}") from None
    except ValueError as error:
        raise UsageError(f"{place} is no TOML: {_said(error)}") from None
    if _has_long_number(values):
        raise UsageError(f"{place} is no TOML: a number has too many digits")
    return values


def _read(path: Path, place: str) -> bytes:
    """The bytes of a regular file; a pipe or a device is not waited for."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except ValueError as error:  # a NUL in the name
        raise UsageError(f"{str(path)!r} is no name of a file: {error}") from None
    with os.fdopen(handle, "rb") as file:
        facts = os.fstat(handle)
        if stat.S_ISDIR(facts.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(facts.st_mode):
            raise UsageError(f"{place} is a pipe or a device; give the path of a TOML file")
        if facts.st_size > MAX_BYTES:
            raise UsageError(f"{place} has {facts.st_size} bytes; at most {MAX_BYTES} are read")
        return file.read(MAX_BYTES)


def _has_long_number(values: dict[str, Any]) -> bool:
    """Whether a whole number has more than 64 bits; one in base 16 may even be too long to be shown."""
    nodes: list[Any] = [values]
    while nodes:
        node = nodes.pop()
        if isinstance(node, int) and not -(1 << 63) <= node < 1 << 63:
            return True
        nodes += node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return False


def _said(error: ValueError) -> str:
    """The reader's words, less those for programmers."""
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is no UTF-8"
    return "a number has too many digits" if "integer string conversion" in str(error) else str(error)
