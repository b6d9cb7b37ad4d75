"""Data that grew: what was there stays where it was, and nothing new leaks from one split to another."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hwnas.data import grown_splits, load_data
from hwnas.data.growth import ADDED, Growth, grow
from hwnas.data.source import DROPPED, TEST, TRAIN, VAL, Listing
from hwnas.data.splits import make_split
from targets.errors import UsageError


@dataclass(frozen=True)
class Sample:
    """content: the number of its image. group: of a person."""

    name: str
    content: int
    group: int
    label: int


def listing(samples: list[Sample], given_split: list[int] | None = None, *, grouped: bool = True) -> Listing:
    return Listing(
        name="toy",
        class_names=("a", "b"),
        in_channels=3,
        flip=True,
        names=tuple(sample.name for sample in samples),
        labels=np.array([sample.label for sample in samples], np.int64),
        given=np.array(given_split or [TRAIN] * len(samples), np.int8),
        sizes_bytes=np.ones(len(samples), np.int64),
        groups=np.array([sample.group for sample in samples]) if grouped else None,
    )


def hashes(samples: list[Sample]) -> list[str]:
    return [f"{sample.content:08x}" for sample in samples]


def copies(samples: list[Sample]) -> np.ndarray:
    return np.array([sample.content for sample in samples])


def first(samples: list[Sample], seed: int, *, grouped: bool) -> dict[str, tuple[int, str]]:
    split = make_split(
        listing(samples, grouped=grouped), np.unique(copies(samples), return_inverse=True)[1], seed
    )
    rows = zip(samples, split.assignment.tolist(), hashes(samples), strict=True)
    return {sample.name: (number, content) for sample, number, content in rows}


def grown(
    samples: list[Sample], before: dict[str, tuple[int, str]], seed: int = 0, *, grouped: bool = True
) -> Growth:
    return grow(
        listing(samples, grouped=grouped),
        np.unique(copies(samples), return_inverse=True)[1],
        hashes(samples),
        before,
        seed,
    )


def known(samples: list[Sample], growth: Growth) -> dict[str, tuple[int, str]]:
    rows = zip(samples, growth.split.assignment.tolist(), hashes(samples), strict=True)
    return {sample.name: (number, content) for sample, number, content in rows}


@st.composite
def two_steps(draw: st.DrawFn) -> tuple[list[Sample], list[Sample], list[Sample], int, bool]:
    """A start of 24 to 40 samples, two waves of further ones (copies and persons of before among them)."""
    n = draw(st.integers(24, 40))
    start = [Sample(f"s{i}", i, i % 12, i % 2) for i in range(n)]
    waves = []
    for wave in "tu":
        members = draw(st.lists(st.tuples(st.integers(0, 80), st.integers(0, 25)), min_size=1, max_size=30))
        waves.append([Sample(f"{wave}{i}", c, g, i % 2) for i, (c, g) in enumerate(members)])
    return start, waves[0], waves[1], draw(st.integers(0, 2**32 - 1)), draw(st.booleans())


@settings(max_examples=60, deadline=None)
@given(two_steps(), st.randoms(use_true_random=False))
def test_nothing_moves_and_nothing_leaks(case: tuple, shuffler: object) -> None:
    start, wave, later, seed, grouped = case
    before = first(start, seed, grouped=grouped)
    once = [*start, *wave]
    growth = grown(once, before, seed, grouped=grouped)
    place = known(once, growth)
    assert {sample.name: place[sample.name] for sample in start} == before
    twice = [*once, *later]
    again = known(twice, grown(twice, place, seed, grouped=grouped))
    assert {sample.name: again[sample.name] for sample in once} == place
    for samples, split in ((once, place), (twice, again)):
        keys = ("content", "group") if grouped else ("content",)
        for key in keys:
            seen: dict[int, set[int]] = {}
            for sample in samples:
                if split[sample.name][0] != DROPPED:
                    seen.setdefault(getattr(sample, key), set()).add(split[sample.name][0])
            assert all(len(places) == 1 for places in seen.values()), key
    shuffled = list(once)
    shuffler.shuffle(shuffled)  # type: ignore[attr-defined]
    assert known(shuffled, grown(shuffled, before, seed, grouped=grouped)) == place


def test_new_ones_are_dealt_in_the_shares_of_a_first_split() -> None:
    start = [Sample(f"s{i}", i, i, i % 2) for i in range(20)]
    wave = [Sample(f"t{i}", 100 + i, 100 + i, i % 2) for i in range(4000)]
    counts = grown([*start, *wave], first(start, 0, grouped=False), grouped=False).counts
    # A fifth each: binomial with a standard deviation of 25.3.
    assert abs(counts.added["test"] - 800) < 100 and abs(counts.added["val"] - 800) < 100
    assert sum(counts.added.values()) == 4000 and counts.left_out == 0 and counts.kept == 20


def test_the_owner_s_splits_take_what_lies_in_them() -> None:
    start = [Sample(f"s{i}", i, i, i % 2) for i in range(20)]
    place = [TRAIN] * 16 + [TEST] * 4
    split = make_split(listing(start, place, grouped=False), np.arange(20), 0)
    before = {s.name: (n, h) for s, n, h in zip(start, split.assignment.tolist(), hashes(start), strict=True)}
    # A copy of a test image among the training images, one of a training image among the test images.
    wave = [Sample("t0", 99, 0, 0), Sample("t1", 16, 0, 0), Sample("t2", 0, 0, 0)]
    wave += [Sample(f"u{i}", 200 + i, 0, 0) for i in range(200)]
    samples, given_split = [*start, *wave], [*place, TEST, TRAIN, TEST, *[TRAIN] * 200]
    ids = np.unique(copies(samples), return_inverse=True)[1]
    growth = grow(listing(samples, given_split, grouped=False), ids, hashes(samples), before, 0)
    places = known(samples, growth)
    assert [places[f"t{i}"][0] for i in range(3)] == [TEST, DROPPED, DROPPED]
    assert {places[f"u{i}"][0] for i in range(200)} == {TRAIN, VAL}  # the test images are given


def test_renamed_removed_and_changed_images() -> None:
    start = [Sample(f"s{i}", i, i, i % 2) for i in range(20)]
    before = first(start, 0, grouped=False)
    now = [replace(s, name=f"moved/{s.name}") for s in start[:18]]  # two are gone
    now[3] = replace(start[3], content=77)  # changed under its name
    growth = grown(now, before, grouped=False)
    places = known(now, growth)
    assert all(places[f"moved/s{i}"][0] == before[f"s{i}"][0] for i in range(18) if i != 3)
    assert places["s3"][0] == before["s3"][0]
    assert (growth.counts.changed, growth.counts.removed) == (1, 2)
    assert not growth.added.any()


def test_a_changed_image_that_equals_one_of_another_split_is_left_out() -> None:
    start = [Sample(f"s{i}", i, i, i % 2) for i in range(20)]
    before = first(start, 0, grouped=False)
    train = next(s for s in start if before[s.name][0] == TRAIN)
    test = next(s for s in start if before[s.name][0] == TEST)
    # Another file of the same pixels as a test image, under the name of a training image.
    ids = np.array([test.content if s is train else s.content for s in start])
    growth = grow(
        listing(start, grouped=False),
        np.unique(ids, return_inverse=True)[1],
        ["ff" if s is train else h for s, h in zip(start, hashes(start), strict=True)],
        before,
        0,
    )
    assert known(start, growth)[train.name][0] == DROPPED


START = [Sample(f"s{i}", i, i, i % 2) for i in range(20)]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda start: [replace(s, name=f"x{s.name}", content=500 + s.content) for s in start],
            "these are other",
        ),
        (lambda start: start, "no image that is new"),
        (lambda start: [*(trained := of(start, TRAIN)), replace(trained[0], name="copy")], "are all gone"),
    ],
)
def test_what_is_no_growth_is_refused(change: Callable[[list[Sample]], list[Sample]], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        grown(change(START), first(START, 0, grouped=False), grouped=False)


def of(start: list[Sample], split: int) -> list[Sample]:
    before = first(start, 0, grouped=False)
    return [s for s in start if before[s.name][0] == split]


def write(folder: Path, names: list[str], first_seed: int = 0) -> None:
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(first_seed + i).integers(0, 255, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)


def test_a_folder_that_grew_keeps_its_split(tmp_path: Path) -> None:
    photos, home = tmp_path / "photos", tmp_path / "home"
    write(photos, [f"{c}/{i}.png" for c in ("cat", "dog") for i in range(10)])
    data = load_data(str(photos), 16, 3, root=home)
    earlier = json.loads(json.dumps(data.splits_record()))
    assert data.splits_json().items() <= earlier.items()
    write(photos, [f"{c}/new{i}.png" for c in ("cat", "dog") for i in range(20)], 100)
    document, counts = grown_splits(earlier, str(photos), 3, root=home)
    assert counts.kept == 20 and sum(counts.added.values()) == 40
    now = load_data(str(photos), None, 3, root=home, splits=json.loads(json.dumps(document)))
    for name in ("train", "val", "test"):
        assert set(earlier[name]) <= set(document[name])
        assert len(now.split(name)) == len(document[name])
    assert sorted(document[ADDED]) == sorted(f"{c}/new{i}.png" for c in ("cat", "dog") for i in range(20))
    # What it says is enough to grow once more.
    write(photos, ["cat/last.png"], 900)
    third, counts = grown_splits(document, str(photos), 3, root=home)
    assert counts.kept == 60 and third[ADDED] == ["cat/last.png"]


def test_new_classes_texts_and_splits_without_hashes_are_refused(tmp_path: Path) -> None:
    photos, home = tmp_path / "photos", tmp_path / "home"
    write(photos, [f"{c}/{i}.png" for c in ("cat", "dog") for i in range(10)])
    data = load_data(str(photos), 16, 3, root=home)
    with pytest.raises(UsageError, match="kept no hashes of its images"):
        grown_splits(data.splits_json(), str(photos), 3, root=home)
    earlier = data.splits_record()
    write(photos, ["emu/1.png", "emu/2.png", "emu/3.png"], 300)
    with pytest.raises(UsageError, match=r"classes changed since the earlier run \('emu' new\)"):
        grown_splits(earlier, str(photos), 3, root=home)
    text = tmp_path / "book.txt"
    text.write_text("so it goes on and on. " * 200)
    with pytest.raises(UsageError, match="a text is split in its order"):
        grown_splits(earlier, str(text), 3, root=home, task="language")
