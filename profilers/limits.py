"""How much memory this process may take: what is free is the limit, so that the system need not end it.

A process that takes more than is free is killed without a word, or makes the whole machine slow. With the
limit an allocation that does not fit fails before a byte of it is touched, and the runtime says so.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from targets.conditions import read_text

_ROOT = Path("/")
_GROUPS = (
    ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current"),
    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""(limit, use) of the control group of this process, version 2 and 1."""

NO_MEMORY = ("bad_alloc", "bad allocation", "Failed to allocate", "MemoryError", "Cannot allocate memory")
"""Words of errors that mean that there was no memory."""


def available_bytes(root: Path = _ROOT) -> int | None:
    """Bytes of memory that are free for this process; None where the system does not tell."""
    free = _kilobytes(root / "proc/meminfo", "MemAvailable:")
    if free is None:
        return None
    for limit, use in _GROUPS:
        most, now = read_text(root / limit), read_text(root / use)
        if most and now and most.isdigit() and now.isdigit():
            free = min(free, max(int(most) - int(now), 0))
    return free


def limit_memory(root: Path = _ROOT) -> None:
    """Let this process take no more memory than is free now, where the system has such a limit."""
    free, data = available_bytes(root), _kilobytes(root / "proc/self/status", "VmData:")
    if free is None or data is None:
        return
    with suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = data + free
        if hard == resource.RLIM_INFINITY or most < hard:
            resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def _kilobytes(path: Path, key: str) -> int | None:
    for line in (read_text(path) or "").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == key and words[1].isdigit():
            return 1024 * int(words[1])
    return None
