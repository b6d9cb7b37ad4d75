"""How every command prints: results on stdout, everything else on stderr."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from typing import Any


def say(text: str) -> None:
    """A line for the user, at once."""
    print(text, file=sys.stderr, flush=True)


def print_json(document: Any) -> None:
    """One document on stdout; a number that is none is an error."""
    print(json.dumps(document, indent=1, allow_nan=False))


def print_csv(rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows by heading, the headings first; numbers in full, and nothing where there is no value."""
    sys.stdout.write(csv_text(rows))


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The same as text, for a file."""
    buffer = StringIO()
    headings = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(buffer, headings, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "" if value is None else value for key, value in row.items()} for row in rows)
    return buffer.getvalue()


def percent(share: float | None) -> str | None:
    """A share of 0..1 as a percentage; None stays None."""
    return None if share is None else f"{100 * share:.2f} %"


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns aligned with spaces; those that hold numbers only to the right, with their heading.

    On a terminal that is too narrow, long texts go on in the next line; elsewhere nothing is cut or wrapped.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    values = [list(row) for row in rows]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", collapse_padding=False)
    for i, heading in enumerate(headings):
        numeric = _is_numeric([row[i] for row in values])
        table.add_column(
            Text(heading), justify="right" if numeric else "left", overflow="fold", no_wrap=numeric
        )
    for row in values:
        table.add_row(*(Text(_cell(value)) for value in row))
    if sys.stdout.isatty():
        return Console(highlight=False).print(table)
    with StringIO() as buffer:
        Console(file=buffer, width=_UNLIMITED, color_system=None, legacy_windows=False).print(table)
        for line in buffer.getvalue().splitlines():
            print(line.rstrip())
    return None


_UNLIMITED = 100_000
"""Characters of a line where no terminal cuts it."""


def _is_numeric(values: Sequence[object]) -> bool:
    present = [value for value in values if value is not None]
    return bool(present) and all(map(_is_number, present))


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"~?[\d.]+(e[+-]?\d+)?( [%*])?", value) is not None
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
