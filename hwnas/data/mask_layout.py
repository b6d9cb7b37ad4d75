"""From relative paths alone: which mask belongs to which image, and to which split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from targets.errors import UsageError

from .layout import ignored_note, is_image, splits_named
from .masks import CLASS_FILES, LOSSLESS
from .source import TRAIN

_IMAGES = frozenset(("images", "image", "imgs", "img", "photos", "jpegimages"))
_MASKS = frozenset(
    ("masks", "mask", "segmentationclass", "segmentation", "annotations", "labels", "trimaps", "gt")
)
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
        *folders, name = path.split("/")
        lower = [folder.lower() for folder in folders]
        stem = PurePosixPath(name).stem
        mask_at = next((i for i, folder in enumerate(lower) if folder in _MASKS), None)
        image_at = next((i for i, folder in enumerate(lower) if folder in _IMAGES), None)
        if is_image(path) and mask_at is not None:
            key = "/".join([*folders[:mask_at], *folders[mask_at + 1 :], _without_ending(stem)])
            _add(masks, key, path, "masks of one image", where)
        elif is_image(path) and image_at is not None:
            key = "/".join([*folders[:image_at], *folders[image_at + 1 :], stem])
            _add(images, key, path, "images of one mask", where)
        elif name.lower() not in CLASS_FILES:
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
    splits = _split_of(images)
    return [Pair(path, masks[key], splits[key]) for key, path in images.items()], notes


def _check_lossless(masks: Iterable[str], where: str) -> None:
    lossy = [path for path in masks if not path.lower().endswith(LOSSLESS)]
    if lossy:
        raise UsageError(
            f"{where}: {len(lossy)} masks are stored with loss, as {lossy[0]}: that blurs the classes; save "
            "masks as PNG"
        )


def _split_of(keys: dict[str, str]) -> dict[str, int]:
    """The split that a folder of each key names; all train where the folders name none."""
    folders = {key: key.split("/")[:-1] for key in keys}
    split_of = splits_named({folder for parts in folders.values() for folder in parts})
    said = {
        key: next((split_of[folder] for folder in parts if folder in split_of), TRAIN)
        for key, parts in folders.items()
    }
    return said if TRAIN in said.values() else dict.fromkeys(said, TRAIN)


def _without_ending(stem: str) -> str:
    return next((stem.removesuffix(end) for end in _ENDINGS if stem.lower().endswith(end)), stem)


def _add(found: dict[str, str], key: str, path: str, what: str, where: str) -> None:
    if key in found:
        raise UsageError(f"{where}: {found[key]} and {path} are two {what}; keep one")
    found[key] = path
