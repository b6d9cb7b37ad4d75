"""The outermost edge on a device: every error that a user can act on becomes one line and an exit code."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Callable

from targets.conditions import free_bytes
from targets.errors import HwnasError, TargetError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

HOW_TO_GET = {
    "numpy": "python3 -m pip install numpy (Debian and Raspberry Pi OS: sudo apt install python3-numpy)",
    "onnxruntime": "python3 -m pip install onnxruntime (with CUDA: onnxruntime-gpu; on a Jetson: the wheel "
    "for its JetPack), in a virtual environment where the system refuses, with reach.python set to that",
}
"""Package that measuring needs: how to get it."""


def guarded(action: Callable[[], int], writes: Path | None = None) -> int:
    """The exit code of `action`, its own or that of its error, with `error: …` on standard error.

    writes: the file that it mostly writes to, for the message about a full disk.
    """
    codes: list[int] = []
    failure = failure_of(lambda: codes.append(action()), writes)
    if failure is None:
        return codes[0]
    log(f"error: {failure}")
    return failure.exit_code


def failure_of(action: Callable[[], object], writes: Path | None = None) -> HwnasError | None:
    """The error of `action` that a user can act on; None where it ends well. writes: as `guarded`."""
    try:
        action()
        return None
    except HwnasError as error:
        return error
    except ModuleNotFoundError as error:
        if error.name not in HOW_TO_GET:
            raise
        return missing(error.name)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        return no_space(Path(str(error.filename or writes or Path.cwd())), None)


def missing(package: str) -> TargetError:
    """The error for a package that this Python cannot import."""
    return TargetError(f"{sys.executable} has no {package}; install it there: {HOW_TO_GET[package]}")


def no_space(path: Path, size_bytes: int | None) -> TargetError:
    """The error for a disk that is full. size_bytes: what was to be written, where known."""
    wanted = f"{size_bytes} bytes are needed and " if size_bytes is not None else ""
    return TargetError(
        f"no space on the device for {path}: {wanted}{free_bytes(path)} bytes are free; free some there, or "
        "set reach.folder to another disk, then run again: what was measured is kept"
    )


def log(text: str) -> None:
    """A line on standard error, at once."""
    print(text, file=sys.stderr, flush=True)
