"""train_stats.csv: one row per epoch."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from hwnas.gradient.loop import COLUMNS, LogRow


def stats_csv(rows: Sequence[LogRow]) -> str:
    """The rows of a log as CSV."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
