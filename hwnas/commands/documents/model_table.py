"""Rows of networks as a table: sorted, compared with the first, side by side for several devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from targets.errors import UsageError, did_you_mean

Document = Mapping[str, Any]
"""What a command prints with --json."""

PrintedTable = tuple[Sequence[str], list[list[Any]]]
"""Headings and rows."""

Row = dict[str, Any]
"""Values by heading; the first is the name of the network."""

NETWORK, RATIO = "network", "ratio"


def compared(rows: Sequence[Row], latency: str, sort: str | None) -> list[Row]:
    """The rows with the ratio of their latency to that of the first, then sorted by a column where asked for.

    latency: the heading of the latency. sort: a heading; UsageError where there is none of that name.
    """
    if len(rows) > 1:
        first = rows[0][latency]
        rows = [_with_ratio(row, latency, first) for row in rows]
    if sort is None or not rows:
        return list(rows)
    if sort not in rows[0]:
        raise UsageError(f"--sort {sort}: the table has no such column; {did_you_mean(sort, rows[0])}")
    return sorted(rows, key=lambda row: _order(row[sort]))


def table_of(rows: Sequence[Row]) -> PrintedTable:
    """The rows as they are printed: short names, no column without a value."""
    if not rows:
        return (), []
    names = short_names([row[NETWORK] for row in rows])
    return without_empty_columns([{**row, NETWORK: name} for name, row in zip(names, rows, strict=True)])


def without_empty_columns(rows: Sequence[Row]) -> PrintedTable:
    """Rows of the same headings, less those under which no row has a value."""
    headings = [heading for heading in rows[0] if any(row[heading] is not None for row in rows)]
    return headings, [[row[heading] for heading in headings] for row in rows]


def crossed(by_target: Mapping[str, Sequence[Row]], latency: str, flag: str) -> PrintedTable:
    """A row per network and a column per target: its latency, marked where its flag is not `ok`."""
    networks = list(dict.fromkeys(row[NETWORK] for rows in by_target.values() for row in rows))
    cells = {
        target: {row[NETWORK]: _marked(row[latency], row[flag]) for row in rows}
        for target, rows in by_target.items()
    }
    names = short_names(networks)
    headings = (NETWORK, *(f"{latency}@{target}" for target in by_target))
    return headings, [
        [name, *(cells[target].get(network) for target in by_target)]
        for name, network in zip(names, networks, strict=True)
    ]


def short_names(names: Sequence[str]) -> list[str]:
    """The names without the folder that all of them lie in."""
    if len(names) < 2:
        return list(names)
    parts = [PurePath(name).parts for name in names]
    shared = 0
    while all(len(p) > shared + 1 for p in parts) and len({p[shared] for p in parts}) == 1:
        shared += 1
    return [str(PurePath(*p[shared:])) for p in parts]


def _with_ratio(row: Row, latency: str, first_ms: float) -> Row:
    """The ratio stands behind the latency."""
    new: Row = {}
    for heading, value in row.items():
        new[heading] = value
        if heading == latency:
            new[RATIO] = value / first_ms
    return new


def _order(value: Any) -> tuple[int, float, str]:
    """Numbers by size, then texts, then what is missing."""
    if isinstance(value, (int, float)):
        return 0, float(value), ""
    return (2, 0.0, "") if value is None else (1, 0.0, str(value))


def _marked(value: float, flag: str) -> Any:
    return value if flag == "ok" else f"{value:.4g} *"
