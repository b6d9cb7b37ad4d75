"""A stated part of an image folder with `train` and `test`, copied into a folder of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from hwnas.data.files import open_files
from hwnas.data.layout import Placed, arrange
from hwnas.data.source import TEST, TRAIN
from targets.errors import UsageError
from targets.files import read_json, write_json


@dataclass(frozen=True)
class Subset:
    """Images per class. train, val: slices [first, last) of the shuffled training images of each class.

    classes: [first, last) of the class names in alphabetical order. test: so many test images per class.
    """

    classes: tuple[int, int]
    train: tuple[int, int]
    val: tuple[int, int]
    test: int
    seed: int = 0

    def folder(self, source: Path, out: Path) -> Path:
        """The images as a folder below `out`; made once."""
        asked = json.loads(json.dumps({"source": str(source), **asdict(self)}))
        name = "-".join(str(n) for n in (*self.classes, *self.train, *self.val, self.test, self.seed))
        folder, made = out / name, out / name / "subset.json"
        if not (made.exists() and read_json(made, "subset") == asked):
            shutil.rmtree(folder, ignore_errors=True)
            self._copy(source, folder)
            write_json(made, asked)
        return folder

    def _copy(self, source: Path, folder: Path) -> None:
        files = open_files(source)
        placed, _ = arrange(files.paths, files.folders, files.where)
        names = sorted({p.class_name for p in placed})[slice(*self.classes)]
        parts = {"train": (TRAIN, self.train), "val": (TRAIN, self.val), "test": (TEST, (0, self.test))}
        for number, name in enumerate(names):
            for part, (split, (first, last)) in parts.items():
                shuffled = self._shuffled(placed, name, split, number)
                if last > len(shuffled):
                    have = f"class {name} has {len(shuffled)} images for {part}"
                    raise UsageError(f"{source}: {have}, {last} are asked for")
                for image in shuffled[first:last]:
                    path = folder / part / name / Path(image.path).name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(files.read(image.path))

    def _shuffled(self, placed: Sequence[Placed], name: str, split: int, number: int) -> list[Placed]:
        own = [p for p in placed if (p.class_name, p.split) == (name, split)]
        return [own[i] for i in np.random.default_rng([self.seed, split, number]).permutation(len(own))]
