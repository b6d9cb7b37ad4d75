"""How many tasks fit into the memory of this machine side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path

PROCESS_BYTES = 600_000_000
"""A process's own memory besides what grows with the batch of a training.

390 MB measured; the rest is for small networks, whose steps peak at up to twice what they save. The files of
the libraries take 340 MB more, which all processes share.
"""

USABLE_SHARE = 0.9
"""Of the available memory; the rest is for the process that started the tasks and for everything else."""


def affordable(needs: Sequence[int], n_wanted: int, available: int | None, log: Callable[[str], None]) -> int:
    """As many tasks as the largest `needs` (bytes) fit beside each other, at least 1, at most `n_wanted`.

    `available` is the free memory in bytes; None, where it is unknown, sets no bound. `log` gets a line when
    there are fewer than `n_wanted`.
    """
    if n_wanted == 1 or available is None:
        return n_wanted
    largest = sorted(needs, reverse=True)
    totals = accumulate(largest[:n_wanted])
    n = max(1, sum(total <= USABLE_SHARE * available for total in totals))
    if n < n_wanted:
        log(
            f"{n} instead of {n_wanted} trainings run side by side: one takes up to "
            f"{largest[0] / 1e9:.1f} GB and {available / 1e9:.1f} GB of memory are available; "
            f"smaller batches take less"
        )
    return n


def available_bytes(root: Path = Path("/")) -> int | None:
    """Memory that new processes can take without swapping; None where the system does not say (no Linux).

    The limit of the control group counts too, of version 1 or 2, less what the group holds already.
    """
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        available = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None
    for group, limit_name, used_name, cache_name in _CONTROL_GROUPS:
        folder = root / "sys/fs/cgroup" / group
        try:
            limit = int((folder / limit_name).read_text())
            used = int((folder / used_name).read_text())
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # not this version, or its limit is "max"
            continue
        # Pages of files that were read once go when somebody needs the memory.
        available = min(available, max(0, limit - used + int(stat.get(cache_name, 0))))
    return available


_CONTROL_GROUPS = (
    ("", "memory.max", "memory.current", "inactive_file"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
