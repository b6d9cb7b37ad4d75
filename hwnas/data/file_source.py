"""A source of encoded image files, in a folder or a zip, whose labels are already known."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas.tasks import CLASSIFICATION, LabelTable, Task
from targets.errors import DamagedFileError

from .columns import Column
from .files import Files
from .image import MIN_SIZE, Levels, decode, deep_range, round_size, short_side_px
from .layout import Placed
from .source import Listing

_SIZE_SAMPLES = 101  # files read for the default image size: their median is sure to a few percent of rank
_MODE_SAMPLES, _RANGE_SAMPLES = 8, 2000
"""Images that are looked at for whether a set has more than 8 bits, and for its range."""

_DEEP_SUFFIXES = (".png", ".tif", ".tiff", ".pgm")


@dataclass(frozen=True, eq=False)
class FileSource:
    """Sample i is the file `listing.names[i]` of `files`."""

    listing: Listing
    files: Files
    levels: Levels | None = None

    def natural_size(self) -> int:
        """Median of the shorter sides, over an even sample of the files that can be read."""
        names = self.listing.names
        chosen = np.unique(np.linspace(0, len(names) - 1, _SIZE_SAMPLES).astype(int)).tolist()
        sides = []
        for index in chosen:
            with suppress(DamagedFileError):  # all that are broken are named together when they are decoded
                sides.append(short_side_px(self.files.read(names[index]), self._where(index)))
        return round_size(float(np.median(sides or [MIN_SIZE])))

    def read(self, index: int, image_size: int) -> npt.NDArray[np.uint8]:
        """Decode one file."""
        raw = self.files.read(self.listing.names[index])
        return decode(raw, self._where(index), image_size, self.listing.in_channels, self.levels)

    def content_key(self, index: int) -> bytes:
        """Hash of the file; its header is checked on the way."""
        raw = self.files.read(self.listing.names[index])
        short_side_px(raw, self._where(index))
        return hashlib.sha256(raw).digest()

    def _where(self, index: int) -> str:
        return f"{self.files.where}: {self.listing.names[index]}"


def file_source(
    name: str,
    files: Files,
    placed: Sequence[Placed],
    notes: Sequence[str],
    task: Task = CLASSIFICATION,
    columns: tuple[str, ...] = ("label",),
    told_by: tuple[str, ...] = (),
) -> FileSource:
    """A source over `placed` files, whose labels `task` reads.

    columns: the names of the label columns. told_by: those of `Placed.told_by`.
    """
    placed = sorted(placed, key=lambda item: item.path)
    paths = [item.path for item in placed]
    labels = task.read(LabelTable(name, columns, [item.cells for item in placed], paths))
    task = labels.task or task
    groups = {group: number for number, group in enumerate(sorted({item.group for item in placed}))}
    levels = image_levels(files, paths)
    stamps = "\n".join(f"{item.path}\t{files.stamp(item.path)}" for item in placed)
    # Classes named 0..9 or a..z are characters: mirrored they would be others.
    characters = all(len(class_name) == 1 for class_name in labels.names)
    listing = Listing(
        name=name,
        class_names=labels.names,
        in_channels=3,
        flip=task.mirror and not characters,
        names=tuple(paths),
        labels=labels.values,
        given=np.array([item.split for item in placed], np.int8),
        sizes_bytes=np.array([files.size_bytes(item.path) for item in placed], np.int64),
        notes=(*notes, *_levels_note(levels)),
        content=hashlib.sha256(
            (stamps + _levels_stamp(levels)).encode("utf-8", "surrogateescape")
        ).hexdigest(),
        task=task,
        groups=np.array([groups[item.group] for item in placed], np.int64) if len(groups) > 1 else None,
        columns=columns_of(told_by, [item.told_by for item in placed]),
    )
    return FileSource(listing, files, levels)


def columns_of(names: Sequence[str], rows: Sequence[tuple[str, ...]]) -> tuple[Column, ...]:
    """The columns of these names. rows: their cells, by sample."""
    return tuple(Column.of(name, [row[j] for row in rows]) for j, name in enumerate(names))


def image_levels(files: Files, paths: Sequence[str]) -> Levels | None:
    """The range of the images of more than 8 bits; None where there are none, or they use all 16 bits."""
    deep = [path for path in paths if path.lower().endswith(_DEEP_SUFFIXES)]
    first = _ranges(files, deep, _MODE_SAMPLES)
    if not first:
        return None
    ranges = _ranges(files, deep, _RANGE_SAMPLES)
    low, high = min(r[1] for r in ranges), max(r[2] for r in ranges)
    if any(mode == "F" for mode, _, _ in ranges):
        return next(((0.0, top) for top in (1.0, 255.0) if low >= 0 and top / 2 < high <= top), (low, high))
    if low >= 0 and high <= 65535:
        bits = next(bits for bits in (8, 10, 12, 14, 16) if high < 1 << bits)
        return None if bits == 16 else (0.0, float((1 << bits) - 1))
    return low, high


def _ranges(files: Files, paths: Sequence[str], most: int) -> list[tuple[str, float, float]]:
    """Modes and ranges of the deep images among an even sample."""
    chosen = np.unique(np.linspace(0, len(paths) - 1, most).astype(int)).tolist() if paths else []
    ranges = []
    for index in chosen:
        with suppress(DamagedFileError):
            values = deep_range(files.read(paths[index]), paths[index])
            if values is not None:
                ranges.append(values)
    return ranges


def _levels_note(levels: Levels | None) -> list[str]:
    if levels is None:
        return []
    low, high = levels
    return [
        f"images of more than 8 bits are scaled by the range of the set, {low:g} (black) to {high:g} (white)"
    ]


def _levels_stamp(levels: Levels | None) -> str:
    return "" if levels is None else f"\n{levels}"
