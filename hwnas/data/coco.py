"""Boxes in the JSON of COCO: images, categories, annotations with `bbox` [left, top, width, height] in px."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import PurePosixPath
from typing import Any, Never

import numpy as np

from targets.errors import UsageError

from .annotated import Annotated, Faults
from .files import Files
from .layout import is_image, splits_named, splits_of_paths
from .source import TRAIN

MOST_JSON_BYTES = 256_000_000


@dataclass(frozen=True, eq=False)
class _Document:
    """A file of annotations: what its lists hold, each by its id."""

    path: str
    where: str
    categories: Mapping[int, str]
    images: Mapping[int, Mapping[str, Any]]
    annotations: Sequence[Mapping[str, Any]]


def read_coco(files: Files, paths: Sequence[str]) -> tuple[list[Annotated], tuple[str, ...]]:
    """The images of these JSON files with their boxes, and the names of the classes by their id."""
    documents = [_document(files, path) for path in paths]
    categories = documents[0].categories
    for other in documents[1:]:
        if other.categories != categories:
            raise UsageError(
                f"{other.where}: has other categories than {documents[0].where}; all files of a set need the "
                "same ids and names"
            )
    number = {category: place for place, category in enumerate(sorted(categories))}
    splits = _splits(paths)
    at = _Places(files)
    annotated: list[Annotated] = []
    for document in documents:
        annotated += _annotated(document, number, at, splits.get(document.path))
    _check_once(annotated, files.where)
    if not any(split is not None for split in splits.values()):
        by_folder = splits_of_paths([each.image for each in annotated])
        annotated = [each.in_split(by_folder[each.image]) for each in annotated]
    return annotated, tuple(categories[category] for category in sorted(categories))


def _document(files: Files, path: str) -> _Document:
    where = f"{files.where}: {path}"
    if files.size_bytes(path) > MOST_JSON_BYTES:
        raise UsageError(
            f"{where}: {files.size_bytes(path) / 1e6:,.0f} MB, at most {MOST_JSON_BYTES / 1e6:.0f} MB of "
            "JSON are read; leave out what is no box, as `segmentation`"
        )

    def no_number(text: str) -> Never:
        raise UsageError(f"{where}: holds {text}, which is no number; correct or leave out that annotation")

    try:
        content = json.loads(files.read(path).decode("utf-8-sig"), parse_constant=no_number)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: is no JSON ({error}); export the annotations again") from None
    if not isinstance(content, dict):
        raise UsageError(f"{where}: is no COCO file: expected an object with images, annotations, categories")
    categories = {
        key: _text(entry, "name", f"{where}: category {key}")
        for key, entry in _by_id(content, "categories", where).items()
    }
    doubled = sorted({name for name in categories.values() if list(categories.values()).count(name) > 1})
    if doubled or not categories:
        what = f"two categories are called {doubled[0]!r}" if doubled else "there are no categories"
        raise UsageError(f"{where}: {what}; give each class a name of its own")
    images = _by_id(content, "images", where)
    _by_id(content, "annotations", where)
    return _Document(path, where, categories, images, content["annotations"])


def _by_id(content: Mapping[str, Any], key: str, where: str) -> dict[int, Mapping[str, Any]]:
    entries = content.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError(f"{where}: `{key}` is no list of objects; expected the format of COCO's instances")
    found: dict[int, Mapping[str, Any]] = {}
    for place, entry in enumerate(entries):
        number = entry.get("id")
        if not isinstance(number, int) or isinstance(number, bool):
            raise UsageError(f"{where}: {key}[{place}] has the id {number!r}; expected a whole number")
        if number in found:
            raise UsageError(f"{where}: two of `{key}` have the id {number}; give each its own")
        found[number] = entry
    return found


def _text(entry: Mapping[str, Any], key: str, where: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{where}: `{key}` is {value!r}; expected a text")
    return value.strip()


def _splits(paths: Sequence[str]) -> dict[str, int | None]:
    """The split that the name or a folder of each file says, where some say train; else none."""
    stems = {path: PurePosixPath(path).stem for path in paths}
    by_stem = splits_named(set(stems.values()))
    folders = {path: path.split("/")[:-1] for path in paths}
    by_folder = splits_named({folder for parts in folders.values() for folder in parts})
    said = {
        path: next(
            (by_folder[folder] for folder in folders[path] if folder in by_folder), by_stem.get(stems[path])
        )
        for path in paths
    }
    return said if TRAIN in said.values() else dict.fromkeys(paths)


class _Places:
    """Where the images of a set lie: names are relative to the JSON, to its folder or to one beside it."""

    def __init__(self, files: Files) -> None:
        self._where = files.where
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for path in filter(is_image, files.paths):
            self._by_name[path.rpartition("/")[2]].append(path)

    def of(self, name: str, document: _Document) -> str | None:
        """The path of an image; None where there is none. UsageError where several could be meant."""
        name = str(PurePosixPath(name.replace("\\", "/"))).lstrip("/")
        options = [
            path
            for path in self._by_name.get(name.rpartition("/")[2], [])
            if path == name or path.endswith(f"/{name}")
        ]
        if len(options) > 1:
            folder = document.path.rpartition("/")[0]
            words = {word for part in document.path.split("/") for word in (part, PurePosixPath(part).stem)}
            near = [path for path in options if path == f"{folder}/{name}".lstrip("/")]
            near = near or [path for path in options if _share_a_split(path, words)]
            if len(near) != 1:
                raise UsageError(
                    f"{document.where}: the image {name} may be {options[0]} or {options[1]} in "
                    f"{self._where}; give it with its folder in `file_name`"
                )
            options = near
        return options[0] if options else None


def _share_a_split(path: str, words: set[str]) -> bool:
    folders = set(path.split("/")[:-1])
    return bool(folders & words) or any(word.endswith(f"_{folder}") for folder in folders for word in words)


def _annotated(
    document: _Document, number: Mapping[int, int], at: _Places, split: int | None
) -> Iterator[Annotated]:
    places: dict[int, str] = {}
    missing = []
    for key, image in document.images.items():
        name = _text(image, "file_name", f"{document.where}: image {key}")
        path = at.of(name, document)
        if path is None:
            missing.append(name)
        else:
            places[key] = path
    if missing:
        raise UsageError(
            f"{document.where}: {len(missing)} of {len(document.images)} images are not there: "
            f"{', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}; put them beside it, or leave "
            "them out of `images`"
        )
    rows = _rows(document, number)
    for key, path in places.items():
        size = _size(document.images[key], f"{document.where}: image {key} ({path})")
        boxes = np.array(rows.get(key, []), np.float64).reshape(-1, 6)
        boxes[:, 1:5] /= [*size, *size]
        yield Annotated(path, TRAIN if split is None else split, boxes, size)


def _rows(document: _Document, number: Mapping[int, int]) -> dict[int, list[list[float]]]:
    """The boxes of each image, (class, left, top, right, bottom, crowd) in px."""
    faults = Faults(document.where, "boxes")
    rows: dict[int, list[list[float]]] = defaultdict(list)
    for entry in document.annotations:
        what = f"annotation {entry['id']}"
        image, category, box = entry.get("image_id"), entry.get("category_id"), entry.get("bbox")
        if not isinstance(image, int) or image not in document.images:
            faults.add(what, f"belongs to the image {image!r}, which is not in `images`")
            continue
        if not isinstance(category, int) or category not in number:
            faults.add(what, f"has the category {category!r}, which is not in `categories`")
            continue
        if not isinstance(box, list) or len(box) != 4 or not all(_is_number(value) for value in box):
            faults.add(what, f"has the bbox {box!r}, which is not [left, top, width, height]")
            continue
        left, top, width, height = map(float, box)
        size = _size(document.images[image], f"{document.where}: image {image}")
        if faults.of_box(what, (left, top, left + width, top + height), size):
            continue
        rows[image].append(
            [number[category], left, top, left + width, top + height, bool(entry.get("iscrowd"))]
        )
    faults.require_none()
    return rows


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _size(image: Mapping[str, Any], where: str) -> tuple[int, int]:
    width, height = image.get("width"), image.get("height")
    if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
        raise UsageError(f"{where}: width {width!r} and height {height!r}; expected whole numbers above 0")
    return width, height


def _check_once(annotated: Sequence[Annotated], where: str) -> None:
    seen: set[str] = set()
    for each in annotated:
        if each.image in seen:
            raise UsageError(f"{where}: {each.image} is listed twice; keep one entry of `images`")
        seen.add(each.image)
