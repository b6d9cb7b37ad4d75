"""A part of CIFAR-10 as an image folder, equally many images of each class, spread evenly over its files."""

from __future__ import annotations

import zipfile
from collections import defaultdict
from pathlib import Path, PurePosixPath


def cifar_subset(archive: Path, folder: Path, n_train: int, n_test: int) -> Path:
    """`folder/train` and `folder/test` with so many images of `cifar10/{train,test}/<class>/*.jpg`."""
    wanted = {"train": n_train, "test": n_test}
    names: dict[tuple[str, str], list[str]] = defaultdict(list)
    with zipfile.ZipFile(archive) as images:
        for name in sorted(images.namelist()):
            path = PurePosixPath(name)
            if path.suffix == ".jpg" and path.parts[-3] in wanted:
                names[path.parts[-3], path.parts[-2]].append(name)
        n_classes = len({label for _, label in names})
        for (split, label), known in names.items():
            n = min(len(known), wanted[split] // n_classes)
            for place in range(n):
                name = known[place * len(known) // n]
                image = folder / split / label / PurePosixPath(name).name
                if not image.exists():
                    image.parent.mkdir(parents=True, exist_ok=True)
                    image.write_bytes(images.read(name))
    return folder
