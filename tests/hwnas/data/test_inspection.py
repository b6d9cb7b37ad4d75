"""What is said of a data set beforehand, and what is left out of it when asked."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hwnas.data import inspect_data, load_data
from hwnas.data.image import decode
from targets.errors import DamagedFileError, UsageError

N = 10


@pytest.fixture
def photos(write_images, named) -> Path:
    return write_images(named(["cat", "dog"], N))


def test_a_sound_set_is_counted(photos: Path, tmp_path: Path) -> None:
    """A fifth of each class tests, and a fifth validates."""
    facts = inspect_data(str(photos), root=tmp_path)
    each = {"train": 6, "val": 2, "test": 2}
    assert facts.classes == {"cat": each, "dog": each}
    assert facts.splits == {"train": 12, "val": 4, "test": 4}
    assert (facts.n_images, facts.image_size, facts.in_channels) == (20, 16, 3)
    assert facts.memory_mb == pytest.approx(20 * 3 * 16 * 16 / 1e6)
    assert (facts.broken, facts.copies, facts.in_two_classes, facts.problems) == ({}, 0, (), ())
    assert "few training images: cat (6), dog (6)" in facts.notes[-1]
    facts.require_sound()
    json.dumps(facts.to_json(), allow_nan=False)


def test_splits_of_the_data_are_told_from_ours(write_images, named, tmp_path: Path) -> None:
    folder = write_images(named(["cat", "dog"], 8, "train/") + named(["cat", "dog"], 3, "test/"))
    facts = inspect_data(str(folder), root=tmp_path)
    assert facts.given_splits == ("train", "test")
    assert facts.splits["test"] == 6


def test_images_are_decoded_once_for_both(photos: Path, tmp_path: Path) -> None:
    said: list[str] = []
    inspect_data(str(photos), 16, root=tmp_path, log=said.append)
    load_data(str(photos), 16, 0, root=tmp_path, log=said.append)
    assert sum("decoding 20 images" in line for line in said) == 1


@pytest.mark.parametrize("memory_cap_mb", [0, 2000])
def test_broken_images_are_all_in_the_facts(photos: Path, tmp_path: Path, memory_cap_mb: float) -> None:
    broken = break_some(photos)
    facts = inspect_data(str(photos), root=tmp_path, memory_cap_mb=memory_cap_mb)
    assert sorted(facts.broken) == broken
    with pytest.raises(DamagedFileError, match="3 images are broken; --skip-broken leaves them out"):
        facts.require_sound()
    inspect_data(str(photos), root=tmp_path, skip_broken=True, memory_cap_mb=memory_cap_mb).require_sound()


def break_some(photos: Path) -> list[str]:
    """No image, a torn one, and a link to nothing."""
    (photos / "cat/00.png").write_bytes(b"no image")
    torn = photos / "cat/01.png"
    torn.write_bytes(torn.read_bytes()[:-200])
    (photos / "dog/09.png").unlink()
    (photos / "dog/09.png").symlink_to("gone.png")
    return ["cat/00.png", "cat/01.png", "dog/09.png"]


@pytest.mark.parametrize("memory_cap_mb", [0, 2000])
def test_broken_images_are_left_out_when_asked(photos: Path, tmp_path: Path, memory_cap_mb: float) -> None:
    broken = break_some(photos)
    options: dict[str, Any] = {"root": tmp_path, "memory_cap_mb": memory_cap_mb}
    data = load_data(str(photos), 16, 0, skip_broken=True, **options)
    document = data.splits_json()
    assert document["skipped"] == broken
    assert any("ignored (broken image): 3: cat/00.png, cat/01.png, dog/09.png" in note for note in data.notes)
    assert len(data.labels) == 17
    shutil.rmtree(tmp_path / "cache")  # the same from the files alone
    again = load_data(str(photos), None, 5, splits=document, **options)
    assert again.splits_json() == document
    assert torch.equal(again.images(range(17)), data.images(range(17)))
    first = decode((photos / "cat/02.png").read_bytes(), "", 16, 3)
    assert (data.images([0])[0].numpy() == first).all()


def test_a_mended_image_is_looked_at_again(photos: Path, tmp_path: Path) -> None:
    good = (photos / "cat/00.png").read_bytes()
    stat = (photos / "cat/00.png").stat()
    (photos / "cat/00.png").write_bytes(bytes(len(good)))
    os.utime(photos / "cat/00.png", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert len(inspect_data(str(photos), root=tmp_path).broken) == 1
    (photos / "cat/00.png").write_bytes(good)
    os.utime(photos / "cat/00.png", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert len(inspect_data(str(photos), root=tmp_path).broken) == 0


def test_the_same_images_in_two_classes_are_named(photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "cat/04.png", photos / "dog/copy.png")
    shutil.copy(photos / "dog/01.png", photos / "dog/again.png")
    facts = inspect_data(str(photos), root=tmp_path)
    assert facts.in_two_classes == (("cat/04.png", "dog/copy.png"),)
    assert facts.copies == 2
    facts.require_sound()


def test_classes_that_are_the_same_are_a_problem(photos: Path, tmp_path: Path) -> None:
    shutil.rmtree(photos / "dog")
    shutil.copytree(photos / "cat", photos / "dog")
    facts = inspect_data(str(photos), root=tmp_path)
    assert len(facts.in_two_classes) == N
    assert (facts.classes, facts.splits) == ({}, {})
    with pytest.raises(UsageError, match="equal those of 'cat'"):
        facts.require_sound()


def test_named_sets_are_inspected_too(tmp_path: Path) -> None:
    facts = inspect_data("digits", root=tmp_path)
    assert sum(facts.splits.values()) == facts.n_images == 1797
    assert facts.problems == ()


def test_images_of_twelve_bits_in_three_channels_are_noted(tmp_path: Path) -> None:
    """The decoder gives the upper 8 of 16 bits, of which 12-bit data use 4."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(N):
            upper_bits = rng.integers(0, 16, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(upper_bits).save(tmp_path / "photos" / name / f"{i}.png")
    notes: list[str] = []
    load_data(str(tmp_path / "photos"), 16, 0, root=tmp_path, log=notes.append)
    assert any("nearly black" in note for note in notes)
