"""How every command prints: results on stdout, everything else on stderr."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def say(text: str) -> None:
    """A line for the user, at once."""
    print(text, file=sys.stderr, flush=True)


def print_json(document: Any) -> None:
    """One document on stdout; a number that is none is an error."""
    print(json.dumps(document, indent=1, allow_nan=False))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns aligned with spaces; those that hold numbers only to the right, with their heading."""
    values = [list(row) for row in rows]
    columns = [_column(heading, [row[i] for row in values]) for i, heading in enumerate(headings)]
    for line in zip(*columns, strict=True):
        print("  ".join(line).rstrip())


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of the same keys as CSV with a heading; '' where there are none."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def percent(share: float | None) -> str | None:
    """A share of 0..1 as a percentage; None stays None."""
    return None if share is None else f"{100 * share:.2f} %"


def _column(heading: str, values: Sequence[object]) -> list[str]:
    """The heading and the values as text of one width."""
    cells = [heading, *map(_cell, values)]
    width = max(map(len, cells))
    present = [value for value in values if value is not None]
    numeric = bool(present) and all(map(_is_number, present))
    return [cell.rjust(width) if numeric else cell.ljust(width) for cell in cells]


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"[\d.]+( %)?", value) is not None
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def lines(row: dict[str, Any]) -> list[tuple[str, object]]:
    """One line per value: the items of a list under one heading, those of a table as `heading.key`."""
    out: list[tuple[str, object]] = []
    for key, value in row.items():
        if isinstance(value, dict):
            out += [(f"{key}.{k}", v) for k, v in value.items()]
        elif isinstance(value, list):
            out += [("" if i else key, v) for i, v in enumerate(value or [None])]
        else:
            out.append((key, value))
    return out


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
