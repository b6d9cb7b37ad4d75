"""The files of jobs on a device: each content once, by its SHA-256, linked into the jobs that use it.

<folder>/files/<sha256>          whole and checked, or absent
<folder>/jobs/<id>/              a job as `python -m profilers` reads it
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from targets.conditions import free_bytes
from targets.errors import DamagedFileError
from targets.files import sha256, write_atomic

from .guard import no_space
from .job import MANIFEST

KEEP_BYTES = 1 << 30
"""Files that no job uses any more are kept up to this size, the last used ones, for the next job."""

FORGET_S = 7 * 86400.0

_SHA = re.compile(r"[0-9a-f]{64}")
_SPARE_BYTES = 1 << 16
_IN_USE_S = 600.0


def wanted(manifest: Any) -> dict[str, str]:
    """File name -> SHA-256 of everything that a manifest names."""
    files: dict[str, str] = {}
    nodes = [manifest]
    while nodes:
        node = nodes.pop()
        if isinstance(node, Mapping):
            if "sha256" in node and "file" in node:
                files[str(node["file"])] = str(node["sha256"])
            nodes += node.values()
        elif isinstance(node, list):
            nodes += node
    for file, digest in files.items():
        if Path(file).name != file or file in ("", ".", "..", MANIFEST) or not _SHA.fullmatch(digest):
            raise DamagedFileError(f"profiler job: {file!r} cannot be a file of a job")
    return files


class Store:
    """The folder of a device in which jobs lie."""

    def __init__(self, folder: Path) -> None:
        """Nothing is made before something is received."""
        self._files, self._jobs = folder / "files", folder / "jobs"

    def missing(self, manifest: Any) -> list[str]:
        """The contents that a job needs and that are not here, sorted."""
        paths = {digest: self._files / digest for digest in wanted(manifest).values()}
        for path in paths.values():
            if path.is_file():
                os.utime(path)  # in use from now on: `prune` leaves it alone
        return sorted(digest for digest, path in paths.items() if not path.is_file())

    def receive(self, pipe: IO[bytes]) -> int:
        """Files as a line `SHA256 SIZE` and the bytes, one after the other; how many arrived whole.

        Each counts when its last byte is here, so that a cut connection loses one file.
        """
        self._files.mkdir(parents=True, exist_ok=True)
        n = 0
        for digest, size in _headers(pipe):
            if size + _SPARE_BYTES > free_bytes(self._files):
                self.prune(0)
            if size + _SPARE_BYTES > free_bytes(self._files):
                raise no_space(self._files / digest, size)
            data = pipe.read(size)
            if len(data) < size:
                break
            if sha256(data) != digest:
                raise DamagedFileError(
                    f"a file of the job arrived damaged (expected {digest[:16]}…); send it again"
                )
            try:
                write_atomic(self._files / digest, data)
            except DamagedFileError as error:
                if isinstance(error.__cause__, OSError):
                    raise no_space(self._files / digest, size) from None
                raise
            n += 1
        return n

    def place(self, job_id: str, raw: bytes) -> Path:
        """The folder of the job with this manifest, all its files in it; rows that lie there stay."""
        folder = self._jobs / job_id
        folder.mkdir(parents=True, exist_ok=True)
        for file, digest in wanted(json.loads(raw)).items():
            source, path = self._files / digest, folder / file
            if path.is_file() and sha256(path) == digest:
                continue
            path.unlink(missing_ok=True)
            try:
                os.link(source, path)
            except OSError:  # a file system without links
                shutil.copyfile(source, path)
        write_atomic(folder / MANIFEST, raw)
        return folder

    def drop(self, job_id: str) -> None:
        """Remove a job whose rows are safe elsewhere; its files stay while there is room for them."""
        shutil.rmtree(self._jobs / job_id, ignore_errors=True)
        self.prune(KEEP_BYTES)

    def prune(self, keep_bytes: int) -> None:
        """Remove forgotten jobs, then files that no job links to, the longest unused first.

        Down to `keep_bytes` of files. A job that nobody went on with for a week is forgotten.
        """
        forget_old(self._jobs)
        old = time.time() - _IN_USE_S
        idle = [(path, path.stat()) for path in self._files.glob("*")] if self._files.is_dir() else []
        idle = [(path, stat) for path, stat in idle if stat.st_nlink == 1 and stat.st_mtime < old]
        total = sum(stat.st_size for _, stat in idle)
        for path, stat in sorted(idle, key=lambda entry: entry[1].st_mtime):
            if total <= keep_bytes:
                break
            path.unlink()
            total -= stat.st_size


def forget_old(jobs: Path) -> None:
    """Remove the folders of jobs that were last touched a week ago: the device may have changed since."""
    old = time.time() - FORGET_S
    for folder in jobs.glob("*"):
        if folder.stat().st_mtime < old:
            shutil.rmtree(folder, ignore_errors=True)


def _headers(pipe: IO[bytes]) -> Iterator[tuple[str, int]]:
    for line in iter(pipe.readline, b""):
        digest, _, size = line.decode("ascii", "replace").strip().partition(" ")
        if not line.endswith(b"\n"):
            return
        if not _SHA.fullmatch(digest) or not size.isdigit():
            raise DamagedFileError("what arrives is no file of a job; are both sides of the same version?")
        yield digest, int(size)
