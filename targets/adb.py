"""Android devices, through the user's own adb. Where several are connected, reach.serial must name one."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import ConnectionLostError, TargetError
from .reach import Reach
from .transport import Output

_STATES = {
    "unauthorized": "does not trust this machine: unlock its screen, accept the key that it shows, try again",
    "offline": "is offline: unplug it and plug it in again, or run adb reconnect",
    "no permissions": "may not be opened by this user: see `adb devices -l` for the udev rule it needs",
}
_READY, _PASSING = "device", ("offline", "authorizing", "connecting", "recovery", "bootloader")
_LIST_S = 30.0
_NO_SPACE = ("No space left on device", "ENOSPC", "Quota exceeded")
_GONE = ("not found", "device offline", "no devices", "error: closed", "device still", "protocol fault")
_HOW = "switch on USB debugging in the developer options, plug it in, and see that `adb devices` lists it"


@dataclass(frozen=True)
class Adb:
    """One Android device. `name` is the target's, for messages."""

    name: str
    serial: str

    def wrap(self, command: Sequence[str]) -> list[str]:
        """`adb -s SERIAL shell 'COMMAND'`."""
        return ["adb", "-s", self.serial, "shell", shlex.join(command)]

    def fault(self, output: Output) -> TargetError | None:
        """Whether the device was lost when a command failed; adb's exit code alone does not say."""
        messages = [line for line in output.stderr.splitlines() if line.startswith(("adb:", "error:"))]
        if output.code < 0 or (output.code != 0 and any(mark in " ".join(messages) for mark in _GONE)):
            last = messages[-1] if messages else f"adb was ended by signal {-output.code}"
            return ConnectionLostError(
                f"target {self.name}: device {self.serial} is gone ({last}); plug it in again."
            )
        return None

    def check_present(self) -> None:
        """ConnectionLostError when the device is gone; a command that was cut off may give no message."""
        output = client(self.name, ["-s", self.serial, "get-state"], _LIST_S)
        if output.stdout.strip() != _READY.encode():
            raise ConnectionLostError(f"target {self.name}: device {self.serial} is gone; plug it in again.")

    def push(self, data: bytes, path: str, timeout_s: float = 600.0) -> None:
        """Write a file on the device; TargetError names path and size when its disk is full."""
        with tempfile.NamedTemporaryFile(prefix="hwnas-") as file:
            file.write(data)
            file.flush()
            output = self._client(["push", file.name, path], timeout_s)
        if output.code == 0:
            return
        message = output.stderr + output.stdout.decode(errors="replace")
        if any(mark in message for mark in _NO_SPACE):
            raise TargetError(
                f"target {self.name}: no space on the device for {path} ({len(data)} bytes); free some "
                "there, or set reach.folder"
            )
        raise TargetError(f"target {self.name}: adb cannot write {path}: {message.strip()}")

    def _client(self, arguments: Sequence[str], timeout_s: float) -> Output:
        output = client(self.name, ["-s", self.serial, *arguments], timeout_s)
        fault = self.fault(output)
        if fault is not None:
            raise fault
        return output


def find_device(name: str, reach: Reach) -> Adb:
    """The device of this serial, or the only one; TargetError says what adb sees instead.

    ConnectionLostError where the state may pass: a device that restarts is absent at first, and then offline.
    """
    output = client(name, ["devices"], _LIST_S)
    rows = [
        line.split("\t", 1) for line in output.stdout.decode(errors="replace").splitlines() if "\t" in line
    ]
    states = {serial.strip(): state.strip() for serial, state in rows}
    listed = ", ".join(f"{serial} ({state})" for serial, state in states.items()) or "none"
    if not states:
        raise ConnectionLostError(f"target {name}: adb sees no device; {_HOW}.")
    if not reach.serial and len(states) > 1:
        raise TargetError(
            f"target {name}: adb sees {len(states)} devices: {listed}; set reach.serial to one of them"
        )
    serial = reach.serial or next(iter(states))
    if serial not in states:
        raise ConnectionLostError(f"target {name}: adb sees no device {serial}, only: {listed}; {_HOW}.")
    state = states[serial]
    if state != _READY:
        advice = next((text for mark, text in _STATES.items() if state.startswith(mark)), None)
        kind = ConnectionLostError if state in _PASSING else TargetError
        raise kind(f"target {name}: device {serial} {advice or f'is in state {state}; {_HOW}'}.")
    return Adb(name, serial)


def client(name: str, arguments: Sequence[str], timeout_s: float) -> Output:
    """Run adb itself. ConnectionLostError when it hangs, TargetError when it is not installed."""
    try:
        done = subprocess.run(
            ["adb", *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False
        )
    except FileNotFoundError:
        raise TargetError(
            f"target {name}: the program adb is not on this machine; install it (Debian: apt-get install "
            "adb, or Android's platform-tools)"
        ) from None
    except subprocess.TimeoutExpired:
        raise ConnectionLostError(
            f"target {name}: adb {arguments[0]} gave no answer within {timeout_s:.0f} s."
        ) from None
    return Output(done.returncode, done.stdout, done.stderr.decode(errors="replace"))


def pushed_folder(reach: Reach) -> str:
    """Where files go on the device: a folder from which Android lets a shell run programs."""
    return reach.folder or str(Path("/data/local/tmp/hwnas"))
