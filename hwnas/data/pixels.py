"""All images of a source as one uint8 array: decoded once, kept on disk for the next run."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL

from targets.errors import DamagedFileError, HwnasError
from targets.files import read_json, sha256, write_json

from .source import DataSource

Pixels = npt.NDArray[np.uint8]
_MAX_BROKEN = 20  # broken images named before giving up
_KEPT = 6  # arrays in the cache folder; the oldest go
_VERSION = 1


def load_pixels(source: DataSource, image_size: int, cache: Path, log: Callable[[str], None]) -> Pixels:
    """(n, c, image_size, image_size), from the cache when the very same files were decoded before."""
    content = source.listing.content
    if content is None:
        return decode_all(source, image_size)
    key = hashlib.sha256(f"{_VERSION} {content} {image_size} {PIL.__version__}".encode()).hexdigest()[:32]
    stored = _read(cache / f"{key}.npy", log)
    if stored is not None and stored.shape[0] == len(source.listing.names):
        return stored
    log(f"decoding {len(source.listing.names):,} images of {source.listing.name} at {image_size} px (once)")
    pixels = decode_all(source, image_size)
    _write(cache / f"{key}.npy", pixels, log)
    return pixels


def decode_all(source: DataSource, image_size: int) -> Pixels:
    """Every image in order; one DamagedFileError names all that are broken (the first 20)."""
    listing = source.listing
    pixels = np.empty((len(listing.names), listing.in_channels, image_size, image_size), np.uint8)
    broken: list[str] = []
    for index in range(len(pixels)):
        try:
            pixels[index] = source.read(index, image_size)
        except DamagedFileError as error:
            broken.append(str(error))
            if len(broken) == _MAX_BROKEN:
                break
    if broken:
        head = f"{len(broken)} images are broken:\n" if len(broken) > 1 else ""
        raise DamagedFileError(head + "\n".join(broken))
    return pixels


def pixel_groups(pixels: Pixels) -> npt.NDArray[np.int64]:
    """(n,) group numbers, equal exactly where all pixels are equal."""
    return group_keys(
        [hashlib.blake2b(image, digest_size=16).digest() for image in np.ascontiguousarray(pixels)]
    )


def content_groups(source: DataSource) -> npt.NDArray[np.int64]:
    """(n,) group numbers by the bytes of the files; for data that does not fit in memory."""
    return group_keys([source.content_key(index) for index in range(len(source.listing.names))])


def group_keys(keys: list[bytes]) -> npt.NDArray[np.int64]:
    """Number the distinct keys in order of appearance."""
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def _read(path: Path, log: Callable[[str], None]) -> Pixels | None:
    """The cached array, mapped (processes share its memory); None when absent or damaged."""
    if not path.exists():
        return None
    try:
        if read_json(path.with_suffix(".json"), "image cache")["sha256"] != sha256(path):
            raise ValueError("checksum differs")
        # Copy on write: torch wants a writable array, the file must stay as it is.
        pixels: Pixels = np.load(path, mmap_mode="c", allow_pickle=False)
        os.utime(path)
        return pixels
    except (HwnasError, OSError, ValueError, KeyError, TypeError) as error:
        log(f"image cache {path.name} is damaged ({error}): decoding again")
        return None


def _write(path: Path, pixels: Pixels, log: Callable[[str], None]) -> None:
    """Store whole or not at all; without space the run goes on uncached."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".pixels-")
        with os.fdopen(handle, "wb") as file:
            np.save(file, pixels, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        digest = sha256(Path(temporary))
        Path(temporary).replace(path)
        write_json(path.with_suffix(".json"), {"sha256": digest, "shape": list(pixels.shape)})
        for old in sorted(path.parent.glob("*.npy"), key=lambda item: item.stat().st_mtime_ns)[:-_KEPT]:
            old.unlink(missing_ok=True)
            old.with_suffix(".json").unlink(missing_ok=True)
    except (OSError, DamagedFileError) as error:
        log(f"image cache {path.parent} cannot be written ({error}); the next start decodes again")
        if temporary:
            Path(temporary).unlink(missing_ok=True)
