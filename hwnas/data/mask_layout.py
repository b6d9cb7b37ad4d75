"""From relative paths alone: which mask belongs to which image, and to which split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from targets.errors import UsageError

from .layout import ignored_note, is_image, splits_of_paths
from .masks import CLASS_FILES, LOSSLESS
from .source import TRAIN

_IMAGES = frozenset(("images", "image", "imgs", "img", "photos", "jpegimages"))
_MASKS = frozenset(
    ("masks", "mask", "segmentationclass", "segmentation", "annotations", "labels", "trimaps", "gt")
)
_IMAGE, _MASK = "image", "mask"
_ENDINGS = ("_mask", "-mask", "_segmentation", "_label", "_gt")
_EXPECTED = "expected images/*.jpg and masks/*.png of equal names, or a .csv with the columns file and mask"


@dataclass(frozen=True, slots=True)
class Pair:
    """An image, its mask, the split and the group that they belong to, and what columns say of them."""

    image: str
    mask: str
    split: int = TRAIN
    group: str = ""
    told_by: tuple[str, ...] = ()


def pair_folders(paths: Sequence[str], where: str) -> tuple[list[Pair], list[str]]:
    """The images of `where` with their masks, and notes on what was left out."""
    images: dict[str, str] = {}
    masks: dict[str, str] = {}
    rest: list[str] = []
    for path in paths:
        kind, key = _kind_of(path)
        if kind == _MASK:
            _add(masks, key, path, "masks of one image", where)
        elif kind == _IMAGE:
            _add(images, key, path, "images of one mask", where)
        elif PurePosixPath(path).name.lower() not in CLASS_FILES:
            rest.append(path)
    if not images or not masks:
        lacks = "no folder of masks" if images else "no folder of images"
        raise UsageError(f"{where}: {lacks} among {len(paths)} files; {_EXPECTED}")
    lacking = [path for key, path in images.items() if key not in masks]
    if lacking:
        raise UsageError(
            f"{where}: {len(lacking)} of {len(images)} images have no mask: {', '.join(lacking[:3])}"
            f"{', ...' if len(lacking) > 3 else ''}; {_EXPECTED}"
        )
    _check_lossless(masks.values(), where)
    notes = ignored_note([path for key, path in masks.items() if key not in images], "mask without an image")
    notes += ignored_note(rest, "neither image nor mask")
    splits = splits_of_paths(images)
    return [Pair(path, masks[key], splits[key]) for key, path in images.items()], notes


def looks_paired(paths: Sequence[str]) -> bool:
    """Whether the images lie in folders of images and of masks alone, most of them in pairs."""
    kinds: dict[str, set[str]] = {_IMAGE: set(), _MASK: set()}
    for path in filter(is_image, paths):
        kind, key = _kind_of(path)
        if kind is None:
            return False
        kinds[kind].add(key)
    images, masks = kinds[_IMAGE], kinds[_MASK]
    return bool(images and masks) and 2 * len(images & masks) > max(len(images), len(masks))


def _kind_of(path: str) -> tuple[str | None, str]:
    """What the folders of a path say that it is, and what an image and its mask have in common."""
    *folders, name = path.split("/")
    stem = PurePosixPath(name).stem
    for kind, names in ((_MASK, _MASKS), (_IMAGE, _IMAGES)):
        at = next((i for i, folder in enumerate(folders) if folder.lower() in names), None)
        if is_image(path) and at is not None:
            stem = _without_ending(stem) if kind == _MASK else stem
            return kind, "/".join([*folders[:at], *folders[at + 1 :], stem])
    return None, ""


def _check_lossless(masks: Iterable[str], where: str) -> None:
    lossy = [path for path in masks if not path.lower().endswith(LOSSLESS)]
    if lossy:
        raise UsageError(
            f"{where}: {len(lossy)} masks are stored with loss, as {lossy[0]}: that blurs the classes; save "
            "masks as PNG"
        )


def _without_ending(stem: str) -> str:
    return next((stem.removesuffix(end) for end in _ENDINGS if stem.lower().endswith(end)), stem)


def _add(found: dict[str, str], key: str, path: str, what: str, where: str) -> None:
    if key in found:
        raise UsageError(f"{where}: {found[key]} and {path} are two {what}; keep one")
    found[key] = path
