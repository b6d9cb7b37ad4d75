"""The folder of a run that has just been asked for: it goes again when the run is refused."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from targets.errors import DamagedFileError, HwnasError, UsageError

REFUSALS: tuple[type[HwnasError], ...] = (UsageError, DamagedFileError)
"""What bad input raises."""


class FreshFolder:
    """A folder and its parents, made where they are not there yet."""

    def __init__(self, path: Path, beginnings: Collection[str]) -> None:
        """Beginnings: names of what lies in it before anything is done there. UsageError if it cannot be."""
        self._path, self._beginnings = path, beginnings
        self._made = [folder for folder in (path, *path.parents) if not folder.exists()]
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"cannot create the folder {path}: {error.strerror}; give another folder"
            ) from None
        self._before = {entry.name for entry in path.iterdir()}

    def discard(self) -> None:
        """Remove what has come since, unless that is more than the beginnings: then something was done."""
        come = [entry for entry in self._path.iterdir() if entry.name not in self._before]
        if any(entry.name not in self._beginnings for entry in come):
            return
        for entry in come:
            entry.unlink()
        for folder in self._made:
            with suppress(OSError):  # another run is in it by now
                folder.rmdir()
