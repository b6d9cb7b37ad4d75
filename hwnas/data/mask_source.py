"""Images with a mask each, in a folder, a zip or a table: the label of every pixel.

What the masks hold is counted once, for splits and checks, and kept in the data home; they are decoded with
their images, and cached with them as one more channel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from hwnas.tasks import Task
from hwnas.tasks.mask_scores import IGNORED
from targets.errors import DamagedFileError, UsageError
from targets.files import user_path

from .arrays_file import kept_array
from .file_source import FileSource, columns_of, image_levels
from .files import Files, open_files
from .layout import ignored_note, is_image
from .mask_layout import Pair, pair_folders
from .masks import CLASS_FILES, VOC_CLASSES, MaskClasses, count_classes, fit_mask, names_of, shape_of
from .source import DataRequest, Listing
from .table import read_table

_MOST_NAMED = 3


@dataclass(frozen=True, eq=False)
class MaskSource:
    """images: the source of the images. masks: the path of each one's mask. white: whether 255 is class 1."""

    images: FileSource
    masks: tuple[str, ...]
    classes: MaskClasses
    white: bool

    @property
    def listing(self) -> Listing:
        """The samples."""
        return self.images.listing

    def natural_size(self) -> int:
        """That of the images."""
        return self.images.natural_size()

    def read(self, index: int, image_size: int) -> npt.NDArray[np.uint8]:
        """(c + 1, image_size, image_size): the image, and its mask behind it."""
        image = self.images.read(index, image_size)
        where = f"{self.images.files.where}: {self.masks[index]}"
        mask = self.classes.numbers(self.images.files.read(self.masks[index]), where)
        mask = _whitened(mask) if self.white else mask
        return np.concatenate([image, fit_mask(mask, image_size)[None]])

    def content_key(self, index: int) -> bytes:
        """That of the image."""
        return self.images.content_key(index)


def open_masks(request: DataRequest) -> MaskSource:
    """The images and masks that `request.spec` names: a folder, a zip, or a table beside one."""
    path = user_path(request.spec)
    table = path if path.suffix.lower() == ".csv" else request.labels_csv
    if table is None:
        files = open_files(path)
        pairs, notes = pair_folders(files.paths, files.where)
        notes += ignored_note(files.refused, files.why_refused)
    else:
        listed = read_table(
            table,
            path.parent if table == path else path,
            request.task,
            request.label_columns,
            request.group_column,
            request.report_by,
        )
        files, notes = listed.files, ignored_note(listed.files.refused, listed.files.why_refused)
        masks = _found([item.class_name for item in listed.placed], files, table)
        pairs = [
            Pair(item.path, mask, item.split, item.group, item.told_by)
            for item, mask in zip(listed.placed, masks, strict=True)
        ]
    name = path.stem if table is None else table.stem
    told_by = () if table is None else listed.told_by
    return _source(name, files, pairs, notes, request.task, request.root / "cache" / "masks", told_by)


def _source(
    name: str,
    files: Files,
    pairs: Sequence[Pair],
    notes: list[str],
    task: Task,
    cache: Path,
    told_by: tuple[str, ...],
) -> MaskSource:
    pairs = sorted(pairs, key=lambda pair: pair.image)
    images, masks = tuple(pair.image for pair in pairs), tuple(pair.mask for pair in pairs)
    classes, said = _classes(files, masks)
    levels = image_levels(files, images)
    stamps = "\n".join(f"{path}\t{files.stamp(path)}" for path in (*images, *masks))
    content = hashlib.sha256(f"{stamps}\n{said}\n{levels}".encode("utf-8", "surrogateescape")).hexdigest()
    counts = kept_array(
        cache / f"{content[:32]}.npy", (len(masks), 256), lambda: _counts(files, images, masks, classes)
    )
    white = not counts[:, 1:IGNORED].any() and counts[:, 0].any() and counts[:, IGNORED].any()
    if white and not classes.colours:
        counts[:, 1], counts[:, IGNORED] = counts[:, IGNORED], 0
        notes.append(
            "masks hold 0 and 255 alone: 255 is taken as class 1, not as a pixel that counts nowhere"
        )
    names = names_of(classes, np.flatnonzero(counts[:, :IGNORED].any(axis=0)).tolist(), files.where)
    groups = {group: number for number, group in enumerate(sorted({pair.group for pair in pairs}))}
    listing = Listing(
        name=name,
        class_names=names,
        in_channels=3,
        flip=task.mirror,
        names=images,
        labels=counts[:, : len(names)],
        given=np.array([pair.split for pair in pairs], np.int8),
        sizes_bytes=np.array([files.size_bytes(path) for path in images], np.int64),
        notes=tuple(notes),
        content=content,
        task=task,
        groups=np.array([groups[pair.group] for pair in pairs], np.int64) if len(groups) > 1 else None,
        columns=columns_of(told_by, [pair.told_by for pair in pairs]),
    )
    return MaskSource(FileSource(listing, files, levels), masks, classes, bool(white and not classes.colours))


def _whitened(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.where(mask == IGNORED, 1, mask).astype(np.uint8)


def _classes(files: Files, masks: Sequence[str]) -> tuple[MaskClasses, str]:
    """The classes that a file beside the images names, and its text; those of PASCAL VOC in its layout."""
    at = next((path for path in files.paths if PurePosixPath(path).name.lower() in CLASS_FILES), None)
    if at is not None:
        text = files.read(at).decode("utf-8-sig", "replace")
        return MaskClasses.parse(text, f"{files.where}: {at}"), text
    if all("segmentationclass" in path.lower().split("/") for path in masks):
        return replace(MaskClasses(), names=VOC_CLASSES), "voc"
    return MaskClasses(), ""


def _found(cells: Sequence[str], files: Files, table: Path) -> list[str]:
    """The paths of the masks that a table names, their suffix left out or not."""
    known = set(files.paths)
    stems: dict[str, list[str]] = {}
    for path in filter(is_image, files.paths):
        stems.setdefault(path.rpartition(".")[0], []).append(path)
    paths = []
    for cell in cells:
        path = str(PurePosixPath(cell.replace("\\", "/")))
        options = [path] if path in known else stems.get(path, [])
        paths.append(options[0] if len(options) == 1 else "")
    missing = [cell for cell, path in zip(cells, paths, strict=True) if not path]
    if missing:
        raise UsageError(
            f"{table}: {len(missing)} of {len(cells)} masks are not in {files.where}: "
            f"{', '.join(missing[:_MOST_NAMED])}{', ...' if len(missing) > _MOST_NAMED else ''}; names are "
            "relative to that folder"
        )
    return paths


def _counts(
    files: Files, images: Sequence[str], masks: Sequence[str], classes: MaskClasses
) -> npt.NDArray[np.int64]:
    """(n, 256) pixels of each value in each mask; 0 of those that cannot be read, which the decoding names.

    UsageError where a mask has another size than its image.
    """
    counts = np.zeros((len(masks), 256), np.int64)
    unequal = []
    for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
        with suppress(DamagedFileError):
            numbers = classes.numbers(files.read(mask), f"{files.where}: {mask}")
            counts[i] = count_classes(numbers)
            size, other = shape_of(files.read(image), image), (numbers.shape[1], numbers.shape[0])
            if size != other:
                unequal.append(f"{mask} is {other[0]} x {other[1]} px, {image} {size[0]} x {size[1]}")
    if unequal:
        raise UsageError(
            f"{files.where}: {len(unequal)} of {len(masks)} masks have another size than their image: "
            f"{'; '.join(unequal[:_MOST_NAMED])}{'; ...' if len(unequal) > _MOST_NAMED else ''}; save each "
            "mask at the size of its image"
        )
    return counts
