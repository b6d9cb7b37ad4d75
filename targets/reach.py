"""How to reach a device: part of a target's description, without influence on its latency."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import UsageError, did_you_mean
from .fields import check_types

TRANSPORTS = ("local", "ssh", "adb")
_SSH_ONLY = ("host", "user", "port", "identity", "known_hosts")
_ADB_ONLY = ("serial", "runner")
_MAX_PORT, _MAX_CONNECT_S = 65535, 600


@dataclass(frozen=True)
class Reach:
    """Where the device is. Empty texts and port 0 leave the choice to ssh, adb and the device.

    transport: `local`, `ssh` or `adb`.
    host: address, or a name of ~/.ssh/config.
    user, port, identity, known_hosts: as ssh takes them.
    serial: of `adb devices`.
    runner: path of onnxruntime_perf_test on an Android device.
    python: the interpreter that has numpy and onnxruntime; a relative path starts at the home folder.
    folder: where files go on the device.
    connect_timeout_s: how long ssh waits for the device.
    """

    transport: str = "local"
    host: str = ""
    user: str = ""
    port: int = 0
    identity: str = ""
    known_hosts: str = ""
    serial: str = ""
    runner: str = ""
    python: str = ""
    folder: str = ""
    connect_timeout_s: int = 10

    def __post_init__(self) -> None:
        check_types(type(self), dataclasses.asdict(self))
        if self.transport not in TRANSPORTS:
            raise UsageError(
                f"unknown transport {self.transport!r}; {did_you_mean(self.transport, TRANSPORTS)}"
            )
        for name, value in dataclasses.asdict(self).items():
            # ssh and adb read a leading dash as an option; quotes and line ends break command lines.
            if isinstance(value, str) and (value.startswith("-") or not value.isprintable() or '"' in value):
                raise UsageError(f"{name} {value!r} must not begin with '-' or hold quotes or line ends")
        if any(c.isspace() for c in self.host + self.user + self.serial):
            raise UsageError("host, user and serial must not hold spaces")
        if not 0 <= self.port <= _MAX_PORT or not 1 <= self.connect_timeout_s <= _MAX_CONNECT_S:
            raise UsageError(
                f"port must lie in 0 to {_MAX_PORT} and connect_timeout_s in 1 to {_MAX_CONNECT_S}, got "
                f"{self.port} and {self.connect_timeout_s}"
            )
        foreign = {"local": _SSH_ONLY + _ADB_ONLY, "ssh": _ADB_ONLY, "adb": (*_SSH_ONLY, "python")}
        unused = [name for name in foreign[self.transport] if getattr(self, name)]
        if unused:
            raise UsageError(f"transport {self.transport!r} has no use for {', '.join(unused)}; remove it")
        if self.transport == "ssh" and not self.host:
            raise UsageError("transport 'ssh' needs host, an address or a name of ~/.ssh/config")

    @property
    def address(self) -> str:
        """The address for messages."""
        if self.transport == "ssh":
            port = f":{self.port}" if self.port else ""
            return f"{self.user}@{self.host}{port}" if self.user else f"{self.host}{port}"
        if self.transport == "adb":
            return self.serial or "the Android device"
        return "this machine"

    @classmethod
    def from_json(cls, values: Any) -> Reach:
        """The fields of a table `[reach]`; UsageError for anything else."""
        if not isinstance(values, Mapping):
            raise UsageError(f"reach must be a table of fields, got {type(values).__name__}")
        check_types(cls, values)
        return cls(**values)
