"""From relative paths alone: which file belongs to which class and split.

Understood are `<class>/*.jpg` and `{train,val,test}/<class>/*.jpg`, below one enclosing folder or not;
deeper folders belong to the class above them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
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
    "dev": VAL,
    "eval": VAL,
    "evaluation": VAL,
}
_FILLERS = frozenset(
    ("set", "data", "dataset", "images", "image", "imgs", "img", "split", "folder", "samples")
)
"""Words beside the name of a split: `training_set`, `train-images`."""
_IMAGES = "*.jpg"


@dataclass(frozen=True)
class Placed:
    """One image file and where it belongs.

    class_name: the folder, or the text of its label. more: texts of further labels.
    group: what it shares with others that must lie in the same split; empty where nobody said so.
    told_by: its values of the columns by which results are told apart.
    """

    path: str
    class_name: str
    split: int
    more: tuple[str, ...] = ()
    group: str = ""
    told_by: tuple[str, ...] = ()

    @property
    def cells(self) -> tuple[str, ...]:
        """The texts of all labels."""
        return (self.class_name, *self.more)


def is_image(path: str) -> bool:
    """Whether the suffix is one that can be decoded."""
    return path.lower().endswith(SUFFIXES)


def arrange(
    paths: Sequence[str],
    folders: Sequence[str],
    where: str,
    is_sample: Callable[[str], bool] = is_image,
    example: str = _IMAGES,
) -> tuple[list[Placed], list[str]]:
    """The images of `where` in their classes and splits, and notes on what was left out.

    is_sample, example: whether a path is one, and how they are called, where the samples are something else.
    """
    expected = f"expected <class>/{example} or {{train,val,test}}/<class>/{example}"
    images = [path for path in paths if is_sample(path)]
    notes = ignored_note([path for path in paths if not is_sample(path)], "no supported image")
    if not images:
        raise UsageError(_no_images(paths, where, expected))
    depth = _common_depth(images)
    inner = {path: path.split("/")[depth:] for path in images}
    if all(len(parts) == 1 for parts in inner.values()):
        tables = [path for path in paths if path.lower().endswith(".csv")]
        listed = f"the table that lies there ({tables[0]})" if tables else "a .csv of file names and labels"
        raise UsageError(
            f"{where}: {len(images)} images but no class folders, so they have no labels; {expected}"
            + (f", or give {listed} with --labels" if example == _IMAGES else "")
        )
    tops = {parts[0] for parts in inner.values() if len(parts) > 1}
    split_of = splits_named(tops)
    kinds = set(split_of.values())
    has_splits = len(kinds) > 1 and (TRAIN in kinds or len(split_of) == len(tops))
    if not has_splits:
        _ask_whether_splits(inner.values(), where)
    else:
        doubled = _doubled(inner.values())
        for path, (top, *rest) in inner.items():
            if top in doubled and len(rest) > 2:
                inner[path] = [top, *rest[1:]]
    if has_splits and TRAIN not in kinds:
        raise UsageError(f"{where}: has {', '.join(sorted(tops))} but no train folder; {expected}")
    placed, unplaced = [], []
    for path, parts in inner.items():
        if not has_splits and len(parts) > 1:
            placed.append(Placed(path, parts[0], TRAIN))
        elif has_splits and len(parts) > 2 and parts[0] in split_of:
            placed.append(Placed(path, parts[1], split_of[parts[0]]))
        else:
            unplaced.append(path)
    notes += ignored_note(unplaced, "outside every class folder")
    used = ancestors(images)
    notes += ignored_note([folder for folder in folders if folder not in used], "folder without images")
    if not placed:
        raise UsageError(f"{where}: no image lies in a class folder; {expected}")
    return placed, notes


def splits_named(names: Collection[str]) -> dict[str, int]:
    """The split of each folder whose name says one: `training_set`, `seg_train`, `Test-Images`, `val2017`."""
    words = {name: [w for w in re.split(r"[\W_\d]+", name.lower()) if w] for name in names}
    shared = set.intersection(*map(set, words.values())) if len(words) > 1 else set()
    split_of = {}
    for name, said in words.items():
        left = [w.removesuffix("set") or w for w in said if w not in _FILLERS and w not in shared]
        if len(left) == 1 and left[0] in SPLIT_OF:
            split_of[name] = SPLIT_OF[left[0]]
    return split_of


def splits_of_paths(paths: Collection[str]) -> dict[str, int]:
    """The split that a folder of each path names; all train where no folder says train."""
    folders = {path: path.split("/")[:-1] for path in paths}
    split_of = splits_named({folder for parts in folders.values() for folder in parts})
    said = {
        path: next((split_of[folder] for folder in parts if folder in split_of), TRAIN)
        for path, parts in folders.items()
    }
    return said if TRAIN in said.values() else dict.fromkeys(said, TRAIN)


def _doubled(every: Iterable[list[str]]) -> set[str]:
    """Folders like the outer one of `seg_train/seg_train/cat/0.jpg`, of which one is to be skipped."""
    below: dict[str, set[str]] = {}
    for top, *rest in every:
        if len(rest) > 1:
            below.setdefault(top, set()).add(rest[0])
    only = {top: min(names) for top, names in below.items() if len(names) == 1}
    return {top for top, name in only.items() if name == top or name.lower() in (*SPLIT_OF, *_FILLERS)}


def _ask_whether_splits(every: Collection[list[str]], where: str) -> None:
    """UsageError where all folders hold the same folders: are they classes or splits?"""
    below: dict[str, set[str]] = {}
    for parts in every:
        if len(parts) > 1:
            below.setdefault(parts[0], set()).update(parts[1:2] if len(parts) > 2 else [""])
    first = next(iter(below.values()), set())
    if (
        len(below) > 1
        and len(first) > 1
        and "" not in first
        and all(names == first for names in below.values())
    ):
        raise UsageError(
            f"{where}: the folders {', '.join(sorted(below)[:4])} all hold the folders "
            f"{', '.join(sorted(first)[:4])}: which are the classes? Where the outer ones are splits, name "
            "them train, val and test; where they are classes, move the images up into them"
        )


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


def _no_images(paths: Sequence[str], where: str, expected: str) -> str:
    if not paths:
        return f"{where}: is empty; {expected}"
    suffixes = Counter(PurePosixPath(path).suffix.lower() or "(no suffix)" for path in paths)
    listed = ", ".join(f"{suffix} x {count}" for suffix, count in suffixes.most_common(5))
    return f"{where}: no supported image among {len(paths)} files ({listed}); supported: {' '.join(SUFFIXES)}"
