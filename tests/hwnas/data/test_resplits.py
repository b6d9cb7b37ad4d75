"""Splits drawn anew: stratified, groups whole, and what the owner gave as test images in none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hwnas.data import load_data
from hwnas.data.resplits import resplits
from targets.errors import UsageError

N_PERSONS, EACH = 20, 3


def write(folder: Path, split: str = "") -> Path:
    """A table of 20 persons with three pictures each, the even ones of class a. split: of the last four."""
    rng = np.random.default_rng(0)
    rows = ["file,label,person" + (",split" if split else "")]
    for person in range(N_PERSONS):
        for k in range(EACH):
            name = f"{person:02d}-{k}.png"
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / name)
            where = f",{split if person >= N_PERSONS - 4 else 'train'}" if split else ""
            rows.append(f"{name},{'ab'[person % 2]},{person}{where}")
    (folder / "labels.csv").write_text("\n".join(rows))
    return folder / "labels.csv"


def drawn(table: Path, n: int = 4) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    options: dict[str, Any] = {"root": table.parent / "home", "group_column": "person"}
    splits = load_data(str(table), 16, 0, **options).splits_json()
    return splits, resplits(splits, range(1, n + 1), str(table), seed=0, **options)


def test_every_image_gets_its_turn_and_persons_stay_whole(tmp_path: Path) -> None:
    table = write(tmp_path)
    first, others = drawn(table)
    assert {name for other in others for name in other["test"]} - set(first["test"])
    assert len({tuple(other["test"]) for other in others}) == len(others)
    for other in others:
        persons = [{name[:2] for name in other[split]} for split in ("train", "val", "test")]
        assert sum(map(len, persons)) == N_PERSONS and len(set.union(*persons)) == N_PERSONS
        assert len(other["test"]) == 12 and sum(int(p) % 2 for p in persons[2]) == 2  # a fifth of each class
        data = load_data(str(table), 16, 0, root=tmp_path / "home", group_column="person", splits=other)
        assert len(data.split("test")) == 12


def test_given_test_images_are_in_no_other_split(tmp_path: Path) -> None:
    first, others = drawn(write(tmp_path, "test"))
    assert len(first["test"]) == 12
    for other in others:
        assert set(first["test"]) <= set(other["dropped"])
        assert len(other["test"]) == 12 and len(other["train"]) + len(other["val"]) == 36


def test_too_few_groups_for_other_splits_are_said(tmp_path: Path) -> None:
    table = write(tmp_path, "test")
    rows = table.read_text().splitlines()
    kept = [row for row in rows[1:] if row.split(",")[2] in ("0", "1", "18", "19")]
    table.write_text("\n".join([rows[0], *kept]))
    splits = load_data(
        str(table), 16, 0, root=tmp_path / "home"
    ).splits_json()  # by images: no person is kept whole
    with pytest.raises(UsageError, match=r"makes 2 group\(s\) of the training images, at least 3 are needed"):
        resplits(splits, [1], str(table), seed=0, root=tmp_path / "home", group_column="person")
