"""How much memory this process holds, and held at most: from /proc on Linux, else from getrusage."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from targets.errors import TargetError

_SELF = Path("/proc/self")
_KB = 1024


class Resident:
    """A reader of resident memory. source: the file or call that the numbers come from."""

    source = "getrusage"

    def read(self) -> tuple[int, int]:
        """(bytes now, bytes at most since the last reset); getrusage knows the second and gives it twice."""
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        most *= 1 if sys.platform == "darwin" else _KB  # bytes on macOS, KiB elsewhere (getrusage(2))
        return most, most

    def reset(self) -> bool:
        """Let the highest mark begin anew; False where the system does not allow it."""
        return False


class ProcResident(Resident):
    """The fields VmRSS and VmHWM of /proc/self/status; 5 in clear_refs resets the second (proc(5))."""

    def __init__(self, folder: Path = _SELF) -> None:
        """folder: where status and clear_refs lie."""
        self._status, self._clear = folder / "status", folder / "clear_refs"
        self.source = str(self._status)

    def read(self) -> tuple[int, int]:
        """(bytes now, bytes at most since the last reset)."""
        text = self._status.read_text(encoding="utf-8")
        return _field(text, "VmRSS"), _field(text, "VmHWM")

    def reset(self) -> bool:
        """Let VmHWM begin anew at VmRSS; False where the system does not allow it."""
        try:
            self._clear.write_text("5", encoding="utf-8")
        except OSError:
            return False
        return True


def resident(folder: Path = _SELF) -> Resident:
    """The reader that suits this system; TargetError where there is none.

    folder: what Linux says of this process.
    """
    if (folder / "status").is_file():
        return ProcResident(folder)
    try:
        import resource  # noqa: F401  (whether there is one is the question)
    except ImportError:
        raise TargetError(
            "this system tells no process its memory: /proc/self/status and getrusage are both missing; "
            "measure memory on Linux, Android or macOS"
        ) from None
    return Resident()


def _field(text: str, name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    if match is None:
        raise TargetError(f"/proc/self/status has no {name}; this kernel counts no memory of processes")
    return int(match.group(1)) * _KB
