"""Images with boxes, in a folder or a zip: COCO's JSON, or YOLO's texts.

The sizes of the images are read from their headers once, for the boxes have to be cut to the same square as
the images are; they are kept in the data home.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from targets.errors import DamagedFileError, UsageError

from .annotated import Annotated
from .arrays_file import kept_array
from .boxes import BoxRows, in_square, padded
from .coco import read_coco
from .file_source import FileSource, image_levels
from .files import Files, open_files
from .image import PREPROCESSING
from .layout import ignored_note
from .masks import shape_of
from .source import DataRequest, Listing
from .yolo import is_label, read_yolo

MOST_BOXES = 1000
"""Of an image."""
_COCO_NAMES = ("annotations.json", "_annotations.coco.json", "coco.json")
_EXPECTED = (
    "expected COCO's JSON (annotations.json, or instances_train.json and instances_val.json) and its images, "
    "or images/*.jpg and labels/*.txt with a data.yaml or classes.txt"
)


def open_boxes(path: Path, request: DataRequest) -> FileSource:
    """The images and boxes of a folder, a zip, or of a JSON file with the images beside it."""
    alone = path.suffix.lower() == ".json"
    if path.suffix.lower() == ".csv":
        raise UsageError(f"{path}: boxes are not read from a table; {_EXPECTED}")
    files = open_files(path.parent if alone else path)
    annotated, names, notes = _read(files, path.name if alone else None)
    notes += ignored_note(files.refused, files.why_refused)
    annotated = sorted(annotated, key=lambda each: each.image)
    if not annotated:
        raise UsageError(f"{files.where}: no image is listed; {_EXPECTED}")
    paths = tuple(each.image for each in annotated)
    levels = image_levels(files, paths)
    stamps = "\n".join(f"{image}\t{files.stamp(image)}" for image in paths)
    content = hashlib.sha256(f"{stamps}\n{levels}".encode("utf-8", "surrogateescape")).hexdigest()
    sizes = kept_array(
        request.root / "cache" / "sizes" / f"{content[:32]}.npy",
        (len(paths), 2),
        lambda: _sizes(files, paths),
    )
    _check_sizes(annotated, sizes, files.where)
    _check_numbers(annotated, files.where)
    rows, more = _cut(annotated, sizes)
    listing = Listing(
        name=path.stem,
        class_names=names,
        in_channels=3,
        flip=request.task.mirror,
        names=paths,
        labels=padded(rows),
        given=np.array([each.split for each in annotated], np.int8),
        sizes_bytes=np.array([files.size_bytes(image) for image in paths], np.int64),
        notes=(*notes, *more),
        content=content,
        task=request.task,
        preprocessing=f"{PREPROCESSING}; boxes are cut at its edges",
    )
    return FileSource(listing, files, levels)


def _read(files: Files, only: str | None) -> tuple[list[Annotated], tuple[str, ...], list[str]]:
    """By the first layout that is there: JSON of COCO's names, labels of YOLO, any other JSON."""
    texts = [path for path in files.paths if path.lower().endswith(".json")]
    known = [path for path in texts if _is_coco_name(PurePosixPath(path).name.lower())]
    if only is not None:
        known = [only]
    elif not known and any(map(is_label, files.paths)):
        return read_yolo(files)
    if not (known or texts):
        raise UsageError(
            f"{files.where}: neither JSON nor labels/*.txt among {len(files.paths)} files; {_EXPECTED}"
        )
    annotated, names = read_coco(files, known or texts)
    return annotated, names, []


def _is_coco_name(name: str) -> bool:
    return name in _COCO_NAMES or name.startswith("instances")


def _sizes(files: Files, paths: Sequence[str]) -> npt.NDArray[np.int64]:
    """(n, 2) width and height of each image upright; 0 of those that cannot be read, which decoding names."""
    sizes = np.zeros((len(paths), 2), np.int64)
    for i, path in enumerate(paths):
        with suppress(DamagedFileError):
            sizes[i] = shape_of(files.read(path), path)
    return sizes


def _check_sizes(annotated: Sequence[Annotated], sizes: npt.NDArray[np.int64], where: str) -> None:
    """UsageError where a file states another size than its image has."""
    unequal = []
    for each, (width, height) in zip(annotated, sizes.tolist(), strict=True):
        if each.size is not None and width and each.size != (width, height):
            turned = ", turned by its EXIF mark: save it upright" if each.size == (height, width) else ""
            unequal.append(
                f"{each.image} is {width} x {height} px, stated {each.size[0]} x {each.size[1]}{turned}"
            )
    if unequal:
        raise UsageError(
            f"{where}: {len(unequal)} of {len(annotated)} images have another size than is stated: "
            f"{'; '.join(unequal[:3])}{'; ...' if len(unequal) > 3 else ''}; their boxes would be wrong: "
            "correct `width` and `height`, or take the images that were annotated"
        )


def _check_numbers(annotated: Sequence[Annotated], where: str) -> None:
    for each in annotated:
        if len(each.rows) > MOST_BOXES:
            raise UsageError(
                f"{where}: {each.image} has {len(each.rows):,} boxes, at most {MOST_BOXES:,} are read"
            )


def _cut(annotated: Sequence[Annotated], sizes: npt.NDArray[np.int64]) -> tuple[list[BoxRows], list[str]]:
    cuts = [
        in_square(each.rows, max(1, width), max(1, height))  # 0 of an image that cannot be read
        for each, (width, height) in zip(annotated, sizes.tolist(), strict=True)
    ]
    gone, crowds = sum(each.gone for each in cuts), sum(each.crowds for each in cuts)
    total = sum(len(each.rows) for each in annotated)
    notes = []
    if gone or crowds:
        notes.append(
            f"images are cut to their central square: {gone} of {total} boxes lie outside and are left out, "
            f"{crowds} are seen to less than a quarter and count nowhere"
        )
    return [each.rows for each in cuts], notes
