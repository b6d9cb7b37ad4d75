"""The file of results: one JSON object per line, appended as soon as a model is done.

A process that is killed leaves at most one torn line at the end; it is cut off on the next start, so
that a job goes on with what is missing. Anything else that is wrong is damage and is refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from targets.errors import DamagedFileError

MeasuredRow = dict[str, Any]
"""What was measured of one model, as it stands in a line of the file."""

RowIdentity = tuple[str, str, int]
"""What a row is of: kind of measurement, key of the model, pass."""


def identity(row: Mapping[str, Any]) -> RowIdentity:
    """The row's identity; TypeError or KeyError when it has none."""
    kind, key, number = row["kind"], row["key"], row["pass"]
    if not (isinstance(kind, str) and isinstance(key, str) and type(number) is int and number >= 0):
        raise TypeError("kind and key must be texts, pass a whole number")
    return kind, key, number


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The whole lines of `path`, [] without a file. DamagedFileError names the line that is no row."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return []
    rows: list[dict[str, Any]] = []
    seen = set()
    lines = raw.split(b"\n")
    for number, line in enumerate(lines[:-1], 1):  # what follows the last newline is torn
        try:
            row = json.loads(line)
            row_identity = identity(row)
        except (ValueError, TypeError, KeyError, RecursionError):
            raise DamagedFileError(
                f"{path}, line {number}: not a measured row; delete the file to measure again"
            ) from None
        if row_identity in seen:
            raise DamagedFileError(f"{path}, line {number}: {row_identity} occurs twice")
        seen.add(row_identity)
        rows.append(row)
    return rows


def cut_torn_line(path: Path) -> None:
    """Remove what a killed process left after the last newline."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        raw = file.read()
        whole = raw.rfind(b"\n") + 1
        if whole != len(raw):
            file.truncate(whole)


def append_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Add the rows and wait until they are on the disk."""
    text = "".join(json.dumps(row, sort_keys=True, allow_nan=False) + "\n" for row in rows)
    with path.open("ab") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
