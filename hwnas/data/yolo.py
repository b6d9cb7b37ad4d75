"""Boxes as YOLO writes them: a text file for each image, a line for each object.

A line is `class centre-x centre-y width height`, edges as shares of the image. An empty file is an image
without objects. The names of the classes stand in a `data.yaml` (its key `names`) or a `classes.txt`, a line
each.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np

from targets.errors import UsageError

from .annotated import Annotated, Faults
from .files import Files
from .layout import is_image, splits_of_paths
from .masks import CLASS_FILES

_IMAGES, _LABELS = frozenset(("images", "image", "imgs", "img")), frozenset(("labels", "label"))
NAME_FILES = (*CLASS_FILES, "obj.names")
_YAML = (".yaml", ".yml")
MOST_CLASSES = 10_000


def is_label(path: str) -> bool:
    """Whether a path is a text in a folder of labels."""
    return path.lower().endswith(".txt") and any(part in _LABELS for part in path.lower().split("/")[:-1])


def read_yolo(files: Files) -> tuple[list[Annotated], tuple[str, ...], list[str]]:
    """The images with their boxes, the names of the classes, and notes."""
    names = _names(files)
    images = _by_key((path for path in files.paths if is_image(path)), _IMAGES, files.where)
    labels = _by_key((path for path in files.paths if is_label(path)), _LABELS, files.where)
    lost = [path for key, path in labels.items() if key not in images]
    if lost:
        raise UsageError(
            f"{files.where}: {len(lost)} of {len(labels)} label files have no image: {', '.join(lost[:3])}"
            f"{', ...' if len(lost) > 3 else ''}; put images/NAME.jpg beside labels/NAME.txt, or remove them"
        )
    splits = splits_of_paths(list(images.values()))
    faults = Faults(files.where, "lines")
    annotated = []
    for key, path in images.items():
        rows = _rows(files, labels[key], names, faults) if key in labels else []
        boxes = np.array(rows, np.float64).reshape(-1, 6)
        annotated.append(Annotated(path, splits[path], boxes, None))
    faults.require_none()
    bare = [path for key, path in images.items() if key not in labels]
    return annotated, names, _notes(bare)


def _notes(bare: Sequence[str]) -> list[str]:
    if not bare:
        return []
    more = ", ..." if len(bare) > 3 else ""
    return [f"{len(bare)} images have no label file, and are taken as images without objects: "
            f"{', '.join(bare[:3])}{more}"]  # fmt: skip


def _by_key(paths: Iterable[str], folders: frozenset[str], where: str) -> dict[str, str]:
    """Paths by what an image and its labels share: all but the folder of their kind and the suffix."""
    found: dict[str, str] = {}
    for path in paths:
        *parts, name = path.split("/")
        at = next((i for i, part in enumerate(parts) if part.lower() in folders), None)
        parts = parts if at is None else [*parts[:at], *parts[at + 1 :]]
        key = "/".join([*parts, PurePosixPath(name).stem])
        if key in found:
            raise UsageError(f"{where}: {found[key]} and {path} differ in their suffix alone; keep one")
        found[key] = path
    return found


def _rows(files: Files, path: str, names: Sequence[str], faults: Faults) -> list[list[float]]:
    rows = []
    for place, line in enumerate(files.read(path).decode("utf-8-sig", "replace").splitlines(), 1):
        cells = line.split()
        if not cells:
            continue
        which = f"{path}:{place}"
        try:
            number, *box = map(float, cells)
        except ValueError:
            faults.add(which, f"is {line[:60]!r}, which is not five numbers")
            continue
        if len(box) != 4:
            hint = "; outlines are not read" if len(box) > 5 else ""
            faults.add(
                which, f"has {len(cells)} numbers, expected class, centre x and y, width, height{hint}"
            )
            continue
        if not (number.is_integer() and 0 <= number < len(names)):
            faults.add(which, f"has the class {cells[0]}; there are {len(names)}, 0 to {len(names) - 1}")
            continue
        x, y, width, height = box
        edges = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        if not faults.of_box(which, edges, (1.0, 1.0), ""):
            rows.append([number, *edges, 0.0])
    return rows


def _names(files: Files) -> tuple[str, ...]:
    """UsageError where no file names the classes."""
    shallow = sorted(files.paths, key=lambda path: (path.count("/"), path))
    lists = [path for path in shallow if PurePosixPath(path).name.lower() in NAME_FILES]
    yamls = [path for path in shallow if path.lower().endswith(_YAML)]
    for path in yamls:
        named = names_in_yaml(files.read(path).decode("utf-8-sig", "replace"), f"{files.where}: {path}")
        if named:
            return _checked(named, f"{files.where}: {path}")
    if not lists:
        raise UsageError(
            f"{files.where}: no file names the classes; give a data.yaml with `names`, or a classes.txt with "
            "a line for each class, in the order of their numbers"
        )
    lines = files.read(lists[0]).decode("utf-8-sig", "replace").splitlines()
    return _checked(tuple(filter(None, map(str.strip, lines))), f"{files.where}: {lists[0]}")


def _checked(names: tuple[str, ...], where: str) -> tuple[str, ...]:
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice or not 1 <= len(names) <= MOST_CLASSES:
        fault = f"names {twice[0]!r} twice" if twice else f"names {len(names):,} classes"
        raise UsageError(f"{where}: {fault}; give 1 to {MOST_CLASSES:,} different names")
    return names


_ITEM = re.compile(r"""\s*(?:(?P<key>\d+)\s*:\s*)?(?P<name>"[^"]*"|'[^']*'|[^,\]}\n]+)\s*""")


def names_in_yaml(text: str, where: str) -> tuple[str, ...]:
    """The list or numbered table under `names` of a data.yaml; empty where it has none.

    Understood is what tools write: `[a, b]`, `{0: a, 1: b}`, or a line for each, `- a` or `0: a`.
    """
    text = re.sub(r"(^|\s)#.*$", "", text, flags=re.MULTILINE)
    start = re.search(r"^names\s*:[ \t]*(?P<rest>[^\n]*)", text, re.MULTILINE)
    if start is None:
        return ()
    inline = start["rest"].strip()
    if inline[:1] in ("[", "{"):
        body = text[start.start("rest") :]
        end = re.search(r"[\]}]", body)
        items = _ITEM.finditer(body[body.index(inline[0]) + 1 : end.start() if end else len(body)])
        pairs = [(match["key"], match["name"]) for match in items]
    else:
        pairs = []
        for line in text[start.end() :].splitlines():
            match = re.match(r"^\s*(?:-\s+|(?P<key>\d+)\s*:\s*)(?P<name>.*?)\s*$", line)
            if match:
                pairs.append((match["key"], match["name"]))
            elif line.strip():
                break
    return _in_order(pairs, where)


def _in_order(pairs: Sequence[tuple[str | None, str]], where: str) -> tuple[str, ...]:
    names = [name.strip().strip("\"'").strip() for _, name in pairs]
    keys = [place if key is None else int(key) for place, (key, _) in enumerate(pairs)]
    numbered: Mapping[int, str] = dict(zip(keys, names, strict=True))
    if not names or not all(names) or sorted(numbered) != list(range(len(names))):
        raise UsageError(
            f"{where}: `names` is no list of classes; expected `names: [a, b]`, or a line for each below it, "
            "`0: a` or `- a`, numbered from 0"
        )
    return tuple(numbered[place] for place in range(len(names)))
