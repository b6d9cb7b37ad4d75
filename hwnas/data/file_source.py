"""A source of encoded image files, in a folder or a zip, whose labels are already known."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .files import Files
from .image import decode, round_size, short_side_px
from .layout import Placed
from .source import Listing

_SIZE_SAMPLES = 101  # files read for the default image size: their median is sure to a few percent of rank


@dataclass(frozen=True, eq=False)
class FileSource:
    """Sample i is the file `listing.names[i]` of `files`."""

    listing: Listing
    files: Files

    def natural_size(self) -> int:
        """Median of the shorter sides, over an even sample of the files."""
        names = self.listing.names
        chosen = np.unique(np.linspace(0, len(names) - 1, _SIZE_SAMPLES).astype(int)).tolist()
        sides = [short_side_px(self.files.read(names[index]), self._where(index)) for index in chosen]
        return round_size(float(np.median(sides)))

    def read(self, index: int, image_size: int) -> npt.NDArray[np.uint8]:
        """Decode one file."""
        raw = self.files.read(self.listing.names[index])
        return decode(raw, self._where(index), image_size, self.listing.in_channels)

    def content_key(self, index: int) -> bytes:
        """Hash of the file; its header is checked on the way."""
        raw = self.files.read(self.listing.names[index])
        short_side_px(raw, self._where(index))
        return hashlib.sha256(raw).digest()

    def _where(self, index: int) -> str:
        return f"{self.files.where}: {self.listing.names[index]}"


def file_source(name: str, files: Files, placed: Sequence[Placed], notes: Sequence[str]) -> FileSource:
    """A source over `placed` files; classes are numbered in the order of their names."""
    placed = sorted(placed, key=lambda item: item.path)
    class_names = tuple(sorted({item.class_name for item in placed}))
    number = {class_name: label for label, class_name in enumerate(class_names)}
    stamps = "\n".join(f"{item.path}\t{files.stamp(item.path)}" for item in placed)
    # Classes named 0..9 or a..z are characters: mirrored they would be others.
    characters = all(len(class_name) == 1 for class_name in class_names)
    listing = Listing(
        name=name,
        class_names=class_names,
        in_channels=3,
        flip=not characters,
        names=tuple(item.path for item in placed),
        labels=np.array([number[item.class_name] for item in placed], np.int64),
        given=np.array([item.split for item in placed], np.int8),
        sizes_bytes=np.array([files.size_bytes(item.path) for item in placed], np.int64),
        notes=tuple(notes),
        content=hashlib.sha256(stamps.encode("utf-8", "surrogateescape")).hexdigest(),
    )
    return FileSource(listing, files)
