"""Who ran on the machine meanwhile: processes of others by the CPU time that they took, as Linux counts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_LEAST_CPUS = 0.1
_MOST_NAMED = 3


class Process(NamedTuple):
    """What `/proc/NUMBER/stat` says of a process."""

    name: str
    parent: int
    cpu_s: float


def processes(proc: Path = _PROC) -> dict[int, Process]:
    """All processes by their number; {} where the system does not list them."""
    found = {}
    for path in proc.glob("[0-9]*/stat"):
        try:
            before, _, after = path.read_text(encoding="utf-8", errors="replace").rpartition(")")
            fields = after.split()  # from the third on (proc_pid_stat(5)): state, parent, ..., utime, stime
            ticks = int(fields[11]) + int(fields[12])
            found[int(path.parent.name)] = Process(
                before.partition("(")[2], int(fields[1]), ticks / os.sysconf("SC_CLK_TCK")
            )
        except (OSError, ValueError, IndexError):  # it has ended meanwhile
            continue
    return found


def busiest(
    before: Mapping[int, Process], after: Mapping[int, Process], seconds: float, own: int
) -> dict[str, float]:
    """CPUs that processes of others took, by name, the busiest first; few, and none that took little.

    own: the number of this process. What it started is not of others.
    """
    cpus: Counter[str] = Counter()
    for number, process in after.items():
        if not _descends(number, own, after):
            spent_s = process.cpu_s - (before[number].cpu_s if number in before else 0.0)
            cpus[process.name] += spent_s / seconds  # type: ignore[assignment]  # a counter of CPUs
    return {name: share for name, share in cpus.most_common(_MOST_NAMED) if share >= _LEAST_CPUS}


def _descends(number: int, own: int, known: Mapping[int, Process]) -> bool:
    seen = set()
    while number in known and number not in seen:
        if number == own:
            return True
        seen.add(number)
        number = known[number].parent
    return False
