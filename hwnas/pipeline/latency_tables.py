"""Devices and their latency tables: reused, measured where the device is at hand, or as they were stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import lut
from hwnas.runs.log import Log
from lut.devices.device import device_context
from targets import Target, load_target
from targets.context import Context
from targets.errors import DamagedFileError, TargetError, UsageError
from targets.files import read_json, safe_name

if TYPE_CHECKING:
    from hwnas.core.network_space import NetworkSpace


@dataclass(frozen=True, slots=True)
class TargetDevice:
    """A device that latencies are for.

    name: as metrics (`latency_ms@NAME`) and the folder of its tables call it.
    target: how to reach it; None where only stored tables of it are known, imported ones for instance.
    """

    name: str
    target: Target | None

    @property
    def title(self) -> str:
        """Its name as people know it."""
        return self.name if self.target is None else self.target.name


def find_device(text: str, home: Path) -> TargetDevice:
    """The device that a user means: a known target, a TOML file, or the name of a device with stored tables.

    UsageError where it is none of them.
    """
    try:
        target = load_target(text)
        return TargetDevice(target.folder, target)
    except UsageError as error:
        stored = devices_with_tables(home)
        if Path(text).suffix != ".toml" and safe_name(text) in stored:
            return TargetDevice(safe_name(text), None)
        known = f"; devices with stored tables: {', '.join(stored)}" if stored else ""
        raise UsageError(f"{error}{known}") from None


def find_devices(texts: Sequence[str], home: Path) -> list[TargetDevice]:
    """Several devices; UsageError where two have one name."""
    devices = [find_device(text, home) for text in texts]
    names = [device.name for device in devices]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(
            f"two of the targets are called {twice!r}; give each a name of its own in its TOML file, for "
            "results name devices"
        )
    return devices


def devices_with_tables(home: Path) -> list[str]:
    """Names of the devices that have a folder of tables."""
    return sorted({path.parents[1].name for path in (home / "tables").glob("*/*/context.json")})


def latency_table(
    space: NetworkSpace,
    device: TargetDevice,
    *,
    home: Path,
    minutes: float | None,
    seed: int,
    log: Log,
    batch: int = 1,
    accept_noise: bool = False,
) -> tuple[lut.SpaceTable, bool]:
    """The table of `space` on a device, and whether the device was reached.

    It is measured for at most `minutes` where none fits.

    minutes: None for as many as the space needs. Where the device is out of reach, or with 0 minutes, the
    newest stored table of it counts. UsageError where there is none, TargetError where the device is there
    and cannot be measured.
    batch: images per inference.
    accept_noise: take a table of a disturbed machine too.
    """
    from . import networks  # here: devices are found without torch

    reason = _out_of_reach(device.target, minutes)
    if device.target is not None and reason is None:
        table = networks.latency_table(
            space,
            device.target,
            minutes=minutes,
            home=home,
            seed=seed,
            log=log,
            batch=batch,
            accept_noise=accept_noise,
        )
        return table, True
    folder = _newest(space, device, home, batch)
    if folder is None:
        name = device.title
        raise UsageError(
            f"space {space.name} ({space.space_id}) has no latency table on target {name}, and none "
            f"can be measured here: {reason}. `hwnas profile --target {name} --space {space.name}` "
            "makes one where the device is, and `hwnas tables import` brings it here; or leave the "
            "latency away"
        )
    table = lut.SpaceTable.load(folder, space.space_id)
    log(f"latency table of {space.name} on {device.title} as stored on {table.date}: {reason}")
    return table, False


def _out_of_reach(target: Target | None, minutes: float | None) -> str | None:
    """Why a device is not measured; None where it answers."""
    if target is None:
        return "how to reach it is not known"
    if minutes == 0:
        return "profile_minutes is 0"
    try:
        device_context(target, "")
    except TargetError as error:
        return str(error).rstrip(".")
    return None


def _newest(space: NetworkSpace, device: TargetDevice, home: Path, batch: int) -> Path | None:
    """The folder of the newest table that was stored in the way in which networks will run."""
    stored = (home / "tables" / device.name).glob(f"*/{space.space_id}.json")
    fitting = [path for path in stored if _fits(path.parent, device.target, batch)]
    return max(fitting, key=lambda path: path.stat().st_mtime).parent if fitting else None


def _fits(folder: Path, target: Target | None, batch: int) -> bool:
    """Whether the tables of a folder are for this batch size, and for the options of the target."""
    try:
        facts = Context(read_json(folder / "context.json", "the context of a table")["facts"]).facts
    except (DamagedFileError, KeyError, TypeError):
        return False
    suffix = "" if batch == 1 else f", batch {batch}"
    of_batch = str(facts.get("exporter", "")).partition(", batch ")
    options = {} if target is None else {f"target_{k}": v for k, v in target.options.items()}
    return f"{of_batch[1]}{of_batch[2]}" == suffix and all(facts.get(k) == v for k, v in options.items())
