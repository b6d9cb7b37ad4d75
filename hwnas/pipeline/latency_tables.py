"""Latency tables for the searchers: reused, measured where the device is at hand, or as they were stored."""

from __future__ import annotations

from pathlib import Path

import lut
from hwnas.core.network_space import NetworkSpace
from hwnas.runs.log import Log
from targets import Target
from targets.errors import TargetError, UsageError

from . import networks


def latency_table(
    space: NetworkSpace, target: Target, *, home: Path, minutes: float | None, seed: int, log: Log
) -> lut.SpaceTable:
    """The table of `space` on `target`, measured for at most `minutes` where none fits.

    minutes: None for as many as the space needs. Where the device is out of reach, or with 0 minutes, the
    newest stored table of it counts. UsageError where there is none.
    """
    reason = "profile_minutes is 0"
    if minutes is None or minutes > 0:
        try:
            return networks.latency_table(space, target, minutes=minutes, home=home, seed=seed, log=log)
        except TargetError as error:
            reason = str(error).rstrip(".")
    stored = list((home / "tables" / target.folder).glob(f"*/{space.space_id}.json"))
    if not stored:
        raise UsageError(
            f"space {space.name} ({space.space_id}) has no latency table on target {target.name}, and none "
            f"can be measured here: {reason}. `hwnas profile --target {target.name} --space {space.name}` "
            "makes one where the device is; or leave the latency away"
        )
    newest = max(stored, key=lambda path: path.stat().st_mtime)
    table = lut.SpaceTable.load(newest.parent, space.space_id)
    log(f"latency table of {space.name} on {target.name} as stored on {table.date}")
    return table
