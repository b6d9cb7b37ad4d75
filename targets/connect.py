"""From a target's description to its transport."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable

from .adb import find_device
from .ssh import Ssh
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
