"""The state of the device while a job ran: kept beside the rows, and what follows from it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any

from profilers.neighbours import QUIET_CPUS
from targets.errors import DamagedFileError

FILE = "conditions.jsonl"
"""A line at the start and at the end of each run of a job."""

SLOWER = 0.9
"""Share of the frequency at the start; below it at the end, the device was throttled."""


def note_conditions(folder: Path, conditions: Any) -> None:
    """Add a line: `when` (start or end), and the conditions of `targets.conditions`.

    DamagedFileError for what is none: a device is not trusted.
    """
    frequencies = conditions.get("frequency_mhz", [0.0]) if isinstance(conditions, Mapping) else []
    numbers = isinstance(frequencies, list) and all(type(f) in (int, float) for f in frequencies)
    if not frequencies or not numbers or not isinstance(conditions.get("throttled", ""), str):
        raise DamagedFileError(f"the device reports {repr(conditions)[:60]} as its state; update hwnas there")
    with (folder / FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(dict(conditions), sort_keys=True) + "\n")


def read_conditions(folder: Path) -> list[dict[str, Any]]:
    """The lines of a job, oldest first."""
    path = folder / FILE
    return (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    )


def slowdown(conditions: Sequence[Mapping[str, Any]]) -> str:
    """A sentence on how the device was throttled between a start and its end; '' where it was not.

    Only the fastest core counts: another may have been idle when its frequency was read.
    """
    for before, after in itertools.pairwise(conditions):
        if (before.get("when"), after.get("when")) != ("start", "end"):
            continue
        fastest = [max(state.get("frequency_mhz", [0.0])) for state in (before, after)]
        if fastest[1] < SLOWER * fastest[0]:
            return f"its fastest core went from {fastest[0]:.0f} to {fastest[1]:.0f} MHz while it measured"
        if after.get("throttled", "0") not in ("0", before.get("throttled")):
            return f"it says that it was throttled ({after['throttled']})"
    return ""


def other_load(rows: Sequence[Mapping[str, Any]], named: Mapping[str, float] = MappingProxyType({})) -> str:
    """A sentence on other processes that took CPUs meanwhile; '' where none are known.

    named: CPUs by the name of a process, where this is known.
    """
    others = [cpus for row in rows for cpus in row.get("others_cpus", ())]
    if not others or median(others) <= QUIET_CPUS:
        return ""
    names = ", ".join(f"{name} {cpus:.1f}" for name, cpus in named.items())
    who = f" ({names})" if names else ""
    taken = f"other processes took {median(others):.1f} CPUs while it measured{who}"
    return f"{taken}; times are of a device as busy"
