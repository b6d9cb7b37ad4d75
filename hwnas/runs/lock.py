"""One process per run directory: a flock that the kernel drops when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from targets.errors import DamagedFileError, HwnasError
from targets.holder import read_holder, write_holder

LOCK_NAME = ".lock"


class RunInUseError(HwnasError):
    """Another process works in the run directory."""

    exit_code = 3


class Lock:
    """Held from construction to `release`; a second one on the same folder raises RunInUseError.

    The holder's pid and host stand in the file for the message only: the kernel's lock decides, so a file
    left by a killed process blocks nobody, and nothing is ever taken over by force.
    """

    def __init__(self, folder: Path):
        self._file: IO[str] | None = None
        path = folder / LOCK_NAME
        try:
            file = path.open("a+", encoding="utf-8")  # not closed here: the open file is the lock
        except OSError as error:
            raise DamagedFileError(f"cannot lock {folder}: {error.strerror}; is it read-only?") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = read_holder(file)
            file.close()
            raise RunInUseError(
                f"{folder} is in use by {holder}; wait for it, stop it, or give another folder"
            ) from None
        write_holder(file)
        self._file = file

    def release(self) -> None:
        """Lets others in; harmless when done twice."""
        if self._file is not None:
            self._file.close()
            self._file = None


def holder_of(folder: Path) -> str | None:
    """Who holds the lock of `folder` ("pid 12 on host a since ..."), or None when nobody does."""
    try:
        with (folder / LOCK_NAME).open("r", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return read_holder(file)
    except OSError:
        return None
    return None
