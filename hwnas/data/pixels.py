"""All images of a source decoded once: as one uint8 array, or one by one where they do not fit in memory.

What was found is kept on disk for the next run: the array, and which images are broken.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL

from hwnas.runs.log import Log, ProgressBar
from targets.errors import DamagedFileError, HwnasError
from targets.files import read_json, sha256, write_json

from .source import DataSource, SampleArray

Pixels = SampleArray
"""(n, c, h, w)."""
_KEPT = 6  # arrays in the cache folder; the oldest go
_VERSION = 2
_AT_A_TIME = 256  # images handed to the threads together
_PROGRESS_FROM = 2000  # images; fewer are read in a few seconds


OpenBar = Callable[[str, int], AbstractContextManager[ProgressBar]]
"""A bar of that name and length, as `Log.progress` gives one."""

_no_bar: OpenBar = Log(quiet=True).progress


@dataclass(frozen=True, eq=False)
class ReadImages:
    """The images of a source that can be read.

    pixels: (m, channels, s, s) of the m images; None where they are decoded on demand.
    groups: (m,) numbers, equal where the images are equal.
    broken: why each other image cannot be read, by its place in the source.
    """

    pixels: Pixels | None
    groups: npt.NDArray[np.int64]
    broken: Mapping[int, str]


class ImageCache:
    """Decoded images in a folder, by what they were decoded from."""

    def __init__(self, folder: Path, log: Callable[[str], None], progress: OpenBar | None = None) -> None:
        self._folder, self._log = folder, log
        self._bar = progress or _no_bar

    def decode(self, source: DataSource, image_size: int, *, in_memory: bool) -> ReadImages:
        """Every image of the source; in_memory: as one array, mapped from the cache where it is there."""
        content = source.listing.content
        if content is None:  # cheap to read again, and none of it can be broken
            return _decode(source, image_size, in_memory, _no_bar)
        key = f"{_VERSION} {content} {image_size} {in_memory} {PIL.__version__}"
        path = self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npy"
        stored = self._read(path, source, image_size, in_memory)
        if stored is not None:
            return stored
        n = len(source.listing.names)
        told = source.listing.kind.told
        self._log(told(f"decoding {n:,} images of {source.listing.name} at {image_size} px (once)"))
        decoded = _decode(source, image_size, in_memory, self._bar if n >= _PROGRESS_FROM else _no_bar)
        self._write(path, decoded)
        return decoded

    def _read(self, path: Path, source: DataSource, image_size: int, in_memory: bool) -> ReadImages | None:
        """What was decoded before; None when it is absent, damaged, or a broken image has been mended."""
        record = path.with_suffix(".json")
        if not record.exists():
            return None
        try:
            known = read_json(record, "image cache")
            broken = {int(index): str(why) for index, why in known["broken"].items()}
            if any(_can_be_read(source, index, image_size) for index in broken):
                return None
            groups = np.array(known["groups"], np.int64)
            pixels = _map(path, known["sha256"]) if in_memory else None
            if len(groups) + len(broken) != len(source.listing.names):
                raise ValueError("another number of images")
            os.utime(record)
            return ReadImages(pixels, groups, broken)
        except (HwnasError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._log(f"image cache {path.name} is damaged ({error}): decoding again")
            return None

    def _write(self, path: Path, decoded: ReadImages) -> None:
        """Store whole or not at all; without space the run goes on uncached."""
        record: dict[str, Any] = {"groups": decoded.groups.tolist(), "broken": dict(decoded.broken)}
        try:
            if decoded.pixels is not None:
                record["sha256"] = _store(path, decoded.pixels)
            write_json(path.with_suffix(".json"), record)
            records = sorted(self._folder.glob("*.json"), key=lambda item: item.stat().st_mtime_ns)
            for old in records[:-_KEPT]:
                old.unlink(missing_ok=True)
                old.with_suffix(".npy").unlink(missing_ok=True)
        except (OSError, DamagedFileError) as error:
            self._log(f"image cache {self._folder} cannot be written ({error}); the next start decodes again")


def _map(path: Path, digest: str) -> Pixels:
    """The array, mapped: processes share its memory."""
    if digest != sha256(path):
        raise ValueError("checksum differs")
    # Copy on write: torch wants a writable array, the file must stay as it is.
    pixels: Pixels = np.load(path, mmap_mode="c", allow_pickle=False)
    return pixels


def _store(path: Path, pixels: Pixels) -> str:
    """Write the array; returns its checksum."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".pixels-")
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, pixels, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        digest = sha256(Path(temporary))
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return digest


def _decode(source: DataSource, image_size: int, in_memory: bool, bar: OpenBar) -> ReadImages:
    """Every image, several at a time: the decoders and the resizing let other threads run."""
    listing = source.listing
    n = len(listing.names)
    shape = (n if in_memory else 0, *listing.kind.shape(listing.channels, image_size))
    pixels: Pixels = np.empty(shape, listing.kind.dtype)
    keys: list[bytes] = []
    broken: dict[int, str] = {}

    def look(index: int) -> bytes | DamagedFileError:
        try:
            image = source.read(index, image_size)
            if in_memory:
                pixels[index] = image
                shown = image[: listing.in_channels]
                return hashlib.blake2b(shown.tobytes(), digest_size=16).digest()
            return source.content_key(index)
        except DamagedFileError as error:
            return error

    with (
        ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool,
        bar(f"{listing.kind.plural} of {listing.name}", n) as seen,
    ):
        for start in range(0, n, _AT_A_TIME):
            places = range(start, min(n, start + _AT_A_TIME))
            for index, answer in zip(places, pool.map(look, places), strict=True):
                if isinstance(answer, DamagedFileError):
                    broken[index] = str(answer)
                else:
                    keys.append(answer)
            seen.advance(len(places))
    if broken and in_memory:
        pixels = np.delete(pixels, list(broken), axis=0)
    return ReadImages(pixels if in_memory else None, group_keys(keys), broken)


def group_keys(keys: Iterable[bytes]) -> npt.NDArray[np.int64]:
    """Number the distinct keys in order of appearance."""
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def _can_be_read(source: DataSource, index: int, image_size: int) -> bool:
    try:
        source.read(index, image_size)
    except DamagedFileError:
        return False
    return True
