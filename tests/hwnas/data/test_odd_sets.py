"""Folders of images as people have them: many bits, broken files, the same images under two names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hwnas.data import load_data
from targets.errors import DamagedFileError, UsageError

N = 6


def deep(folder: Path, kind: type[np.generic], top: float, suffix: str) -> Path:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for i in range(N):
            pixels = (top * rng.random((20, 20))).astype(kind)
            pixels[0, 0] = top
            Image.fromarray(pixels).save(folder / name / f"{i}.{suffix}")
    return folder


@pytest.mark.parametrize(
    ("kind", "top", "suffix", "said"),
    [
        (np.uint16, 4095, "png", "0 (black) to 4095 (white)"),
        (np.int32, 1_000_000, "tif", "(black) to 1e+06 (white)"),
        (np.float32, 1, "tif", "0 (black) to 1 (white)"),
    ],
)
def test_a_set_of_many_bits_is_scaled_by_its_range(
    tmp_path: Path, kind: type[np.generic], top: float, suffix: str, said: str
) -> None:
    """Uniform noise from 0 to the top: its mean is a half."""
    notes: list[str] = []
    folder = deep(tmp_path / "photos", kind, top, suffix)
    data = load_data(str(folder), 16, 0, root=tmp_path, log=notes.append)
    assert data.mean[0] == pytest.approx(0.5, abs=0.03)
    assert sum(said in note for note in notes) == 1


def test_all_sixteen_bits_are_read_as_ever(tmp_path: Path) -> None:
    notes: list[str] = []
    folder = deep(tmp_path / "photos", np.uint16, 65535, "png")
    load_data(str(folder), 16, 0, root=tmp_path, log=notes.append)
    assert not any("bits" in note for note in notes)


def test_all_broken_files_are_named(tmp_path: Path, write_images, named) -> None:
    folder = write_images(named(["cat", "dog"], N))
    broken = [folder / "cat" / f"{i:02d}.png" for i in (0, 2, 3)]
    for path in broken:
        path.write_bytes(b"no image")
    with pytest.raises(DamagedFileError, match="3 images are broken") as caught:
        load_data(str(folder), None, 0, root=tmp_path)
    assert all(path.name in str(caught.value) for path in broken)
    assert "0x" not in str(caught.value)


def test_classes_of_the_same_images_are_told(tmp_path: Path, write_images) -> None:
    folder = write_images([f"cat/{i}.png" for i in range(N)])
    (folder / "dog").mkdir()
    for i in range(N):
        (folder / "dog" / f"{i}.png").write_bytes((folder / "cat" / f"{i}.png").read_bytes())
    with pytest.raises(UsageError, match=r"'dog' has 0 different .*6 of its 6 images equal those of 'cat'"):
        load_data(str(folder), 16, 0, root=tmp_path)


def test_an_archive_of_refused_names_says_so(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../cat/1.png", b"x")
    with pytest.raises(UsageError, match=r"is empty; .*unsafe name in the archive\): 1: \.\./cat/1\.png"):
        load_data(str(tmp_path / "a.zip"), 16, 0, root=tmp_path)
