"""A folder or a zip archive as a list of relative paths; a zip is read in place, nothing is extracted."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from targets.errors import DamagedFileError, UsageError

MAX_FILE_BYTES = 256_000_000
MAX_TOTAL_BYTES = 100_000_000_000
MAX_FILES = 5_000_000
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError, struct.error)
"""What the reader of zips raises for damaged ones; of an unknown version or method it is a RuntimeError."""


class Files(Protocol):
    """Read-only files below one root, named by relative paths with '/'."""

    where: str
    paths: tuple[str, ...]  # sorted
    folders: tuple[str, ...]  # sorted
    refused: tuple[str, ...]  # names that were not taken: unsafe in an archive, pipes and devices in a folder
    why_refused: str

    def size_bytes(self, path: str) -> int:
        """Length of the file."""
        ...

    def stamp(self, path: str) -> str:
        """Changes when the content does: a checksum, or size and time."""
        ...

    def read(self, path: str) -> bytes:
        """The content; DamagedFileError naming the file when it cannot be had."""
        ...


def open_files(path: Path) -> Files:
    """The files of a folder or a zip; UsageError when `path` is neither."""
    if not path.exists():
        raise UsageError(f"{path} does not exist; give an image folder or a zip of one")
    if path.is_dir():
        return FolderFiles(path)
    if not path.is_file():
        raise UsageError(f"{path} is a pipe or a device; give an image folder or a zip of one")
    if path.suffix.lower() == ".zip":
        return ZipFiles(path)
    raise UsageError(
        f"{path} is neither a folder nor a .zip; unpack other archives first; for a text give --task language"
    )


class FolderFiles:
    """Files of a folder; links are followed. A link that leads nowhere is a file that cannot be read."""

    why_refused = "no regular file"

    def __init__(self, root: Path) -> None:
        self.where = str(root)
        self._root = root
        self._stats: dict[str, os.stat_result | None] = {}
        folders, refused = [], []
        for folder, names, files in os.walk(root, followlinks=True, onerror=_cannot_list):
            base = Path(folder).relative_to(root).as_posix()
            prefix = "" if base == "." else f"{base}/"
            here = Path(folder).resolve()
            # A link to a folder above would be walked for ever.
            names[:] = [
                name
                for name in sorted(names)
                if not hidden(name) and not here.is_relative_to((Path(folder) / name).resolve())
            ]
            folders += [prefix + name for name in names]
            for name in files:
                if hidden(name):
                    continue
                found = _stat(Path(folder) / name)
                if found is None or stat.S_ISREG(found.st_mode):
                    self._stats[prefix + name] = found
                else:  # to read a pipe waits for ever, and a device need not end
                    refused.append(prefix + name)
        self.paths = tuple(sorted(self._stats))
        self.folders = tuple(sorted(folders))
        self.refused = tuple(sorted(refused))

    def size_bytes(self, path: str) -> int:
        """Length of the file."""
        known = self._stats[path]
        return known.st_size if known else 0

    def stamp(self, path: str) -> str:
        """Length and time of change."""
        known = self._stats[path]
        return f"{known.st_size}.{known.st_mtime_ns}" if known else "unreadable"

    def read(self, path: str) -> bytes:
        """The content."""
        file = self._root / path
        _check_file_size(self.size_bytes(path), str(file))
        try:
            return file.read_bytes()
        except OSError as error:
            raise DamagedFileError(
                f"{file}: cannot be read ({error.strerror}); replace or remove it"
            ) from None


class ZipFiles:
    """Members of a zip archive. Names are only compared, never used as paths on disk."""

    why_refused = "unsafe name in the archive"

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self._path = path
        self._archive = self._open()
        self._pid = os.getpid()
        self._members: dict[str, zipfile.ZipInfo] = {}
        folders, refused = set(), []
        for member in self._archive.infolist():
            # `./a` and `/a` are `a`, as unpacking makes them.
            parts = [part for part in member.filename.replace("\\", "/").split("/") if part not in ("", ".")]
            name = "/".join(parts)
            if not parts or ".." in parts or ":" in parts[0] or stat.S_ISLNK(member.external_attr >> 16):
                refused.append(member.filename)
            elif hidden(name):
                continue
            elif member.is_dir():
                folders.add(name)
            elif name in self._members:
                raise DamagedFileError(f"{path}: holds {name} twice; pack the folder again")
            else:
                self._members[name] = member
        self._check_sizes()
        self.paths = tuple(sorted(self._members))
        self.folders = tuple(sorted(folders | ancestors(self._members)))
        self.refused = tuple(refused)

    def size_bytes(self, path: str) -> int:
        """Length of the file once unpacked."""
        return self._members[path].file_size

    def stamp(self, path: str) -> str:
        """The archive's own checksum of the member."""
        return f"{self._members[path].file_size}.{self._members[path].CRC:08x}"

    def read(self, path: str) -> bytes:
        """The content; the archive's checksum is verified by the read."""
        if os.getpid() != self._pid:  # a fork shares the file position: open our own
            self._archive, self._pid = self._open(), os.getpid()
        _check_file_size(self.size_bytes(path), f"{self.where}: {path}")
        try:
            return self._archive.read(self._members[path])
        except ZIP_ERRORS as error:
            raise DamagedFileError(f"{self.where}: {path} cannot be read ({error}); pack it again") from None

    def _open(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self._path)
        except ZIP_ERRORS as error:
            raise DamagedFileError(
                f"{self._path}: is damaged or no zip archive ({error}); download or pack it again"
            ) from None

    def _check_sizes(self) -> None:
        if len(self._members) > MAX_FILES:
            raise UsageError(f"{self._path}: {len(self._members):,} files, at most {MAX_FILES:,} are read")
        for name, member in self._members.items():
            if member.flag_bits & 1:
                raise UsageError(f"{self._path}: {name} is encrypted; pack the folder without a password")
        total = sum(member.file_size for member in self._members.values())
        if total > MAX_TOTAL_BYTES:
            most = f"at most {MAX_TOTAL_BYTES / 1e9:.0f} GB are read"
            raise UsageError(f"{self._path}: unpacks to {total / 1e9:.0f} GB, {most}; pack fewer images")


def hidden(path: str) -> bool:
    """Whether a path belongs to the file manager or a tool rather than to the data."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.split("/"))


def ancestors(paths: Iterable[str]) -> set[str]:
    """All folders above the given files."""
    folders: set[str] = set()
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return folders


def _check_file_size(size_bytes: int, where: str) -> None:
    if size_bytes > MAX_FILE_BYTES:
        raise DamagedFileError(
            f"{where}: {size_bytes / 1e6:.0f} MB, at most {MAX_FILE_BYTES / 1e6:.0f} MB per image are read; "
            f"shrink or remove it"
        )


def _stat(file: Path) -> os.stat_result | None:
    try:
        return file.stat()
    except OSError:
        return None  # `read` says why


def _cannot_list(error: OSError) -> None:
    raise DamagedFileError(f"{error.filename}: cannot be listed ({error.strerror}); check the permissions")
