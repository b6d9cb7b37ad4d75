"""train_stats.csv: one row per epoch."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from hwnas.gradient.loop import COLUMNS, LogRow
from targets.files import write_atomic

STATS = "train_stats.csv"


def stats_csv(rows: Sequence[LogRow]) -> str:
    """The rows of a log as CSV."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def write_stats(folder: Path, rows: Sequence[LogRow]) -> None:
    """The log of all loops so far."""
    write_atomic(folder / STATS, stats_csv(rows))
