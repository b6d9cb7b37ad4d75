"""From relative paths alone: which file belongs to which class and split.

Understood are `<class>/*.jpg` and `{train,val,test}/<class>/*.jpg`, below one enclosing folder or not;
deeper folders belong to the class above them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from targets.errors import UsageError

from .files import ancestors
from .image import SUFFIXES
from .source import TEST, TRAIN, VAL

SPLIT_OF = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VAL,
    "valid": VAL,
    "validation": VAL,
    "test": TEST,
    "testing": TEST,
}
_EXPECTED = "expected <class>/*.jpg or {train,val,test}/<class>/*.jpg"


@dataclass(frozen=True)
class Placed:
    """One image file and where it belongs."""

    path: str
    class_name: str
    split: int


def is_image(path: str) -> bool:
    """Whether the suffix is one that can be decoded."""
    return path.lower().endswith(SUFFIXES)


def arrange(paths: Sequence[str], folders: Sequence[str], where: str) -> tuple[list[Placed], list[str]]:
    """The images of `where` in their classes and splits, and notes on what was left out."""
    images = [path for path in paths if is_image(path)]
    notes = ignored_note([path for path in paths if not is_image(path)], "no supported image")
    if not images:
        raise UsageError(_no_images(paths, where))
    depth = _common_depth(images)
    inner = {path: path.split("/")[depth:] for path in images}
    if all(len(parts) == 1 for parts in inner.values()):
        raise UsageError(
            f"{where}: {len(images)} images but no class folders, so they have no labels; {_EXPECTED}, "
            f"or give a .csv of file names and labels"
        )
    tops = {parts[0].lower() for parts in inner.values() if len(parts) > 1}
    kinds = {SPLIT_OF[top] for top in tops if top in SPLIT_OF}
    has_splits = len(kinds) > 1 and (TRAIN in kinds or all(top in SPLIT_OF for top in tops))
    if has_splits and TRAIN not in kinds:
        raise UsageError(f"{where}: has {', '.join(sorted(tops))} but no train folder; {_EXPECTED}")
    placed, unplaced = [], []
    for path, parts in inner.items():
        if not has_splits and len(parts) > 1:
            placed.append(Placed(path, parts[0], TRAIN))
        elif has_splits and len(parts) > 2 and parts[0].lower() in SPLIT_OF:
            placed.append(Placed(path, parts[1], SPLIT_OF[parts[0].lower()]))
        else:
            unplaced.append(path)
    notes += ignored_note(unplaced, "outside every class folder")
    used = ancestors(images)
    notes += ignored_note([folder for folder in folders if folder not in used], "folder without images")
    if not placed:
        raise UsageError(f"{where}: no image lies in a class folder; {_EXPECTED}")
    return placed, notes


def ignored_note(paths: Sequence[str], reason: str) -> list[str]:
    """One line on files that are not used, or none."""
    if not paths:
        return []
    more = ", ..." if len(paths) > 3 else ""
    return [f"ignored ({reason}): {len(paths)}: {', '.join(paths[:3])}{more}"]


def _common_depth(images: Sequence[str]) -> int:
    """How many folders enclose everything while class folders stay below them; a lone `train` is one too."""
    split = [path.split("/") for path in images]
    depth = 0
    while (
        max(map(len, split)) - depth >= 3
        and len({parts[depth] for parts in split if depth < len(parts)}) == 1
    ):
        depth += 1
    return depth


def _no_images(paths: Sequence[str], where: str) -> str:
    if not paths:
        return f"{where}: is empty; {_EXPECTED}"
    suffixes = Counter(PurePosixPath(path).suffix.lower() or "(no suffix)" for path in paths)
    listed = ", ".join(f"{suffix} x {count}" for suffix, count in suffixes.most_common(5))
    return f"{where}: no supported image among {len(paths)} files ({listed}); supported: {' '.join(SUFFIXES)}"
