"""Energy of the blocks of a space, from a table of the user's own: `key,energy_mj`, one row per block.

A user with a meter measures the blocks; nothing here estimates them. Keys are those of the latency table.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from targets.errors import UsageError

COLUMNS = ("key", "energy_mj")
_MAX_BYTES = 10_000_000


def read_energy(path: Path, keys: Iterable[str]) -> dict[str, float]:
    """Millijoules per block of `keys`; UsageError for a file without one number for each."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError(f"energy table {path}: {path.stat().st_size} bytes are too many")
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"energy table {path}: cannot be read ({error})") from None
    energy_mj: dict[str, float] = {}
    for line, row in enumerate(rows, 2):
        if set(row) != set(COLUMNS):
            raise UsageError(f"energy table {path}: its columns must be {', '.join(COLUMNS)}")
        if row["key"] in energy_mj:
            raise UsageError(f"energy table {path}, line {line}: block {row['key']!r} is there twice")
        energy_mj[row["key"]] = _millijoules(row["energy_mj"], f"energy table {path}, line {line}")
    return _of_blocks(energy_mj, keys, path)


def _millijoules(text: str | None, where: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise UsageError(f"{where}: energy_mj must be a finite number from 0, got {text!r}")
    return value


def _of_blocks(energy_mj: Mapping[str, float], keys: Iterable[str], path: Path) -> dict[str, float]:
    needed = sorted(keys)
    missing = [key for key in needed if key not in energy_mj]
    if missing:
        raise UsageError(
            f"energy table {path}: {len(missing)} of the {len(needed)} blocks of the space are not in it, "
            f"first {missing[0]!r}; a row is needed for each, `load_space(…).blocks()` has them"
        )
    return {key: energy_mj[key] for key in needed}
