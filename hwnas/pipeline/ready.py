"""Whether the devices of a search can be measured on, asked before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from lut.devices.needs import check_needs
from targets import Target
from targets.errors import TargetError

from .latency_tables import TargetDevice, devices_with_tables

CONNECT_S, ASK_S = 10, 30.0
"""Seconds for a connection, and for each answer: no training waits for a board that is off."""


def require_ready(
    devices: Sequence[TargetDevice], home: Path, warn: Callable[[str], None], *, by_tables: bool = True
) -> None:
    """TargetError for a device that lacks something and of which no tables are stored.

    Where there are tables, the search goes on with them and `warn` hears of it. This machine is not asked.
    by_tables: False for a search that has no use for tables and measures at its end alone.
    """
    for device in devices:
        target = device.target
        if target is None and not by_tables:
            raise TargetError(
                f"{device.name} is known by its tables alone, and a search in which no latency counts uses "
                "none; leave --target away, or give a budget on latency_ms"
            )
        if target is None or target.reach.transport == "local":
            continue
        lacks = _lacks(target)
        if lacks and by_tables and device.name in devices_with_tables(home):
            warn(f"{lacks}. Its stored tables count instead, and nothing is measured there")
        elif lacks:
            raise TargetError(
                f"{lacks}. `hwnas targets check {target.name}` says more; a table that was "
                "measured elsewhere is brought here by `hwnas tables import`"
            )


def _lacks(target: Target) -> str:
    """What is missing, in one sentence without its full stop; empty where nothing is."""
    connect_s = min(CONNECT_S, target.reach.connect_timeout_s)
    needs = check_needs(
        replace(target, reach=replace(target.reach, connect_timeout_s=connect_s)), ask_s=ASK_S
    )
    missing = [need for need in needs if need.state == "missing"]
    if not missing:
        return ""
    reasons = "; ".join(need.advice or f"{need.name} is missing" for need in missing).rstrip(".")
    named = reasons.startswith(f"target {target.name}")
    return reasons if named else f"target {target.name} cannot be measured on: {reasons}"
