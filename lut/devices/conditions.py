"""How the device was while a job ran: kept beside the rows, and whether it became slower meanwhile."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from profilers.neighbours import QUIET_CPUS

FILE = "conditions.jsonl"
"""A line at the start and at the end of each run of a job."""

SLOWER = 0.9
"""At the end, of the frequency at the start: below that the device held itself back."""


def note_conditions(folder: Path, found: Mapping[str, Any]) -> None:
    """Add a line: `when` (start or end), and what targets.conditions tells."""
    with (folder / FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(dict(found), sort_keys=True) + "\n")


def read_conditions(folder: Path) -> list[dict[str, Any]]:
    """The lines of a job, [] without any."""
    path = folder / FILE
    return (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    )


def slowdown(conditions: Sequence[Mapping[str, Any]]) -> str:
    """What says that the device was throttled between a start and its end; '' where nothing does.

    The fastest core counts: one that idles at the moment of the look says nothing.
    """
    for before, after in itertools.pairwise(conditions):
        if (before.get("when"), after.get("when")) != ("start", "end"):
            continue
        fastest = [max(found.get("frequency_mhz", [0.0])) for found in (before, after)]
        if fastest[1] < SLOWER * fastest[0]:
            return f"its fastest core went from {fastest[0]:.0f} to {fastest[1]:.0f} MHz while it measured"
        if after.get("throttled", "0") not in ("0", before.get("throttled")):
            return f"it says that it was throttled ({after['throttled']})"
    return ""


def company(rows: Sequence[Mapping[str, Any]]) -> str:
    """What says that the device worked for others meanwhile; '' where it did not, or nobody counts."""
    others = [cpus for row in rows for cpus in row.get("others_cpus", ())]
    if not others or median(others) <= QUIET_CPUS:
        return ""
    return f"other processes took {median(others):.1f} CPUs while it measured; times are of a device as busy"
