"""Small image folders written to disk; every image differs unless a test copies one."""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

WriteImages = Callable[..., Path]


@pytest.fixture
def write_images(tmp_path: Path) -> WriteImages:
    """write_images(["cat/0.png", ...], side=20) -> the folder that holds them."""

    def write(names: Sequence[str], root: str = "photos", side: int = 20, seed: int = 0) -> Path:
        rng = np.random.default_rng(seed)
        folder = tmp_path / root
        for name in names:
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (side, side + 4, 3), dtype=np.uint8)).save(file)
        return folder

    return write


def class_names(classes: Sequence[str], n: int, prefix: str = "", suffix: str = "png") -> list[str]:
    return [f"{prefix}{name}/{index:02d}.{suffix}" for name in classes for index in range(n)]


@pytest.fixture
def named() -> Callable[..., list[str]]:
    """named(["cat", "dog"], 5, "train/") -> the file names of 5 images per class."""
    return class_names


@pytest.fixture
def pack() -> Callable[[Path], Path]:
    """pack(folder) -> a zip of it beside it."""

    def write(folder: Path, prefix: str = "") -> Path:
        path = folder.with_suffix(".zip")
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(folder.rglob("*")):
                archive.write(file, prefix + file.relative_to(folder).as_posix())
        return path

    return write
