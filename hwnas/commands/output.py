"""How every command prints: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any


def say(text: str) -> None:
    """A line for the user, at once."""
    print(text, file=sys.stderr, flush=True)


def print_json(document: Any) -> None:
    """One document on stdout; a number that is none is an error."""
    print(json.dumps(document, indent=1, allow_nan=False))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns aligned with spaces; numbers to the right."""
    cells = [list(headings), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headings))]
    for row in cells:
        print("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())


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
