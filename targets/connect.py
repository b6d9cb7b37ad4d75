"""From a target's description to its transport."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Callable

from .adb import find_device
from .errors import TargetError
from .ssh import Ssh, resolved
from .target import Target
from .transport import Local, Transport

_MAKERS: Mapping[str, Callable[[Target], Transport]] = {
    "local": lambda target: Local(),
    "ssh": lambda target: Ssh(target.name, target.reach),
    "adb": lambda target: find_device(target.name, target.reach),
}


def connect(target: Target) -> Transport:
    """The transport of the target. Nothing is contacted here, but adb looks for its device."""
    return _MAKERS[target.reach.transport](target)


def device_key(target: Target) -> str:
    """The device itself: equal for all targets that are reached at one place, whatever their names are.

    An address as ssh resolves it (`~/.ssh/config`), a serial number, or this machine.
    """
    reach = target.reach
    if reach.transport == "ssh":
        return f"ssh {resolved(reach)}"
    if reach.transport == "adb":
        serial = reach.serial
        with suppress(TargetError):  # a device that is away is asked for by name later, with the reason
            serial = serial or find_device(target.name, reach).serial
        return f"adb {serial}"
    return "local"
