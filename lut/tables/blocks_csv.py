"""blocks.csv: the measured rows of one context, shared by all spaces, checked cell by cell on reading.

A sidecar holds the checksums (SHA-256) of the present content and of the one before, because two files cannot
be replaced in one step and a process may be killed between them.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lut.devices.measurement import Measurement
from targets.errors import DamagedFileError
from targets.files import read_json, sha256, write_atomic, write_json

if TYPE_CHECKING:
    import pandas as pd

COLUMNS: Mapping[str, str] = {
    "key": "str",
    "n": "int64",
    "p20_ms": "float64",
    "p50_ms": "float64",
    "p90_ms": "float64",
    "ci_low_ms": "float64",
    "ci_high_ms": "float64",
    "clock": "str",
    "flag": "str",
    "reason": "str",
}
"""Name of a column: its dtype."""

_OPTIONAL = "reason"
"""Left out where no row has one."""

_WORDS = {"clock": ("cpu", "wall"), "flag": ("ok", "unstable")}


def frame(rows: Mapping[str, Measurement]) -> pd.DataFrame:
    """The rows as a table sorted by key."""
    import pandas as pd

    order = sorted(rows)
    columns = [c for c in COLUMNS if c != _OPTIONAL or any(row.reason for row in rows.values())]
    data = {
        column: pd.Series(
            [key if column == "key" else getattr(rows[key], column) for key in order], dtype=COLUMNS[column]
        )
        for column in columns
    }
    return pd.DataFrame(data)


def csv_text(rows: Mapping[str, Measurement]) -> str:
    """The rows as CSV, floats in the shortest form that reads back to the same number."""
    return str(frame(rows).to_csv(index=False, lineterminator="\n"))


def write_rows(path: Path, rows: Mapping[str, Measurement]) -> None:
    """Replace the file and its sidecar."""
    data = csv_text(rows).encode()
    before = [sha256(path)] if path.exists() else []
    write_json(_sidecar(path), {"sha256": [sha256(data), *before]})
    write_atomic(path, data)


def add_rows(path: Path, rows: Mapping[str, Measurement]) -> None:
    """Add the rows to the file; a row of the same key is replaced."""
    write_rows(path, {**read_rows(path), **rows})


def read_rows(path: Path) -> dict[str, Measurement]:
    """The rows by key, {} without a file; DamagedFileError names the row and the column that is wrong."""
    if not path.exists():
        return {}
    raw = path.read_bytes()
    rows = parse(raw, str(path))
    checksums = read_json(_sidecar(path), "checksum of the latency rows")
    known = checksums.get("sha256") if isinstance(checksums, dict) else None
    if not isinstance(known, list) or sha256(raw) not in known:
        raise DamagedFileError(
            f"latency rows: {path} differs from its checksum in {_sidecar(path).name}; "
            "restore it, or delete both"
        )
    return rows


def parse(raw: bytes, where: str) -> dict[str, Measurement]:
    """The rows of CSV bytes, by key; `where` names them in messages. No checksum is read."""
    import pandas as pd

    try:
        table = pd.read_csv(io.BytesIO(raw), dtype="str", keep_default_na=False, na_filter=False)
    except (ValueError, UnicodeDecodeError) as error:
        raise DamagedFileError(
            f"latency rows: {where} is no CSV table ({error}); restore or delete it"
        ) from None
    wrong = [f"unknown column {c!r}" for c in table.columns if c not in COLUMNS]
    wrong += [f"missing column {c!r}" for c in COLUMNS if c not in table.columns and c != _OPTIONAL]
    if wrong:
        raise DamagedFileError(f"latency rows: {where}: {', '.join(wrong)}; columns are {', '.join(COLUMNS)}")
    rows: dict[str, Measurement] = {}
    for number, cells in enumerate(table.to_dict("records"), 2):  # row 1 is the header
        key = str(cells["key"])
        if not key or key in rows:
            reason = f"occurs twice: {key!r}" if key else "is empty"
            raise DamagedFileError(f"latency rows: {where}, row {number}, column key {reason}")
        values = {c: _cell(str(cells[c]), c, f"{where}, row {number}") for c in table.columns if c != "key"}
        row = Measurement(**values)  # type: ignore[arg-type]  # _cell returns the column's type
        if not row.p20_ms <= row.p50_ms * 1.5 or not row.ci_low_ms <= row.p50_ms <= row.ci_high_ms:
            raise DamagedFileError(
                f"latency rows: {where}, row {number}: quantiles of {key!r} are out of order"
            )
        rows[key] = row
    return rows


def _cell(text: str, column: str, where: str) -> float | int | str:
    if column == _OPTIONAL:
        return text
    words = _WORDS.get(column)
    if words:
        if text in words:
            return text
        raise DamagedFileError(
            f"latency rows: {where}, column {column}: {text!r} is not {' or '.join(words)}"
        )
    try:
        value = int(text) if COLUMNS[column] == "int64" else float(text)
    except ValueError:
        raise DamagedFileError(f"latency rows: {where}, column {column}: {text!r} is no number") from None
    # On a disturbed device an interval can reach down to 0 (`profilers.settle`).
    if not (math.isfinite(value) and (value > 0 or (value == 0 and column == "ci_low_ms"))):
        raise DamagedFileError(f"latency rows: {where}, column {column}: {text!r} must be above 0 and finite")
    return value


def _sidecar(path: Path) -> Path:
    return path.with_suffix(".sha256.json")
