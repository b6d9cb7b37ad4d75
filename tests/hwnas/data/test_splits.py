"""Splits: disjoint, complete, stratified, blind to copies, and verified when read back."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hwnas.data.source import DROPPED, TEST, TRAIN, VAL, Listing
from hwnas.data.splits import Split, from_json, make_split, to_json
from targets.errors import DamagedFileError, UsageError


def listing(labels: list[int], given_split: list[int] | None = None) -> Listing:
    n = len(labels)
    return Listing(
        name="toy",
        class_names=tuple(f"class{k}" for k in range(max(labels) + 1)),
        in_channels=3,
        flip=True,
        names=tuple(f"{index}.png" for index in range(n)),
        labels=np.array(labels, np.int64),
        given=np.array(given_split or [TRAIN] * n, np.int8),
        sizes_bytes=np.ones(n, np.int64),
    )


def all_different(labels: list[int]) -> np.ndarray:
    return np.arange(len(labels), dtype=np.int64)


@st.composite
def collections(draw: st.DrawFn) -> tuple[Listing, np.ndarray]:
    """2 to 5 classes, copies among the images, any of the given splits."""
    n_classes = draw(st.integers(2, 5))
    labels = [k for k in range(n_classes) for _ in range(draw(st.integers(3, 30)))]
    groups = np.array([draw(st.integers(0, 3 * len(labels))) for _ in labels], np.int64)
    allowed = draw(st.sampled_from([[TRAIN], [TRAIN, TEST], [TRAIN, VAL], [TRAIN, VAL, TEST]]))
    given_split = [draw(st.sampled_from(allowed)) for _ in labels]
    for k in range(n_classes):  # each class is trained
        given_split[labels.index(k)] = TRAIN
    return listing(labels, given_split), groups


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(collections(), st.integers(0, 2**32 - 1))
def test_no_image_is_in_two_splits_and_nothing_is_lost(case: tuple[Listing, np.ndarray], seed: int) -> None:
    toy, groups = case
    try:
        split = make_split(toy, groups, seed)
    except UsageError:
        assume(False)
    parts = [set(split.indices(number).tolist()) for number in (TRAIN, VAL, TEST, DROPPED)]
    assert sorted(index for part in parts for index in part) == list(range(len(groups)))
    images = [set(groups[sorted(part)].tolist()) for part in parts[:3]]
    assert not images[0] & images[1] and not images[0] & images[2] and not images[1] & images[2]
    # A sample is dropped only for a copy in a more guarded split.
    for index in parts[3]:
        assert groups[index] in images[1] | images[2]
    # The owner's test images stay, and nothing joins them.
    if (toy.given == TEST).any():
        assert parts[2] == set(np.flatnonzero(toy.given == TEST).tolist())
    # Each class trains, and has an image in every split that was drawn.
    for number, drawn in (
        (TRAIN, True),
        (VAL, not (toy.given == VAL).any()),
        (TEST, not (toy.given == TEST).any()),
    ):
        if drawn:
            assert len({toy.labels[i] for i in parts[number]} | _followers(toy, groups)) == len(
                toy.class_names
            )


def _followers(toy: Listing, groups: np.ndarray) -> set[int]:
    """Classes with an image that also stands under another class: it counts for the first of them only."""
    return {
        int(toy.labels[i])
        for i in range(len(groups))
        if len(set(toy.labels[groups == groups[i]].tolist())) > 1
    }


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(3, 400), min_size=2, max_size=6), st.integers(0, 2**32 - 1))
def test_a_fifth_of_each_class_tests_and_a_fifth_validates(counts: list[int], seed: int) -> None:
    labels = [k for k, count in enumerate(counts) for _ in range(count)]
    split = make_split(listing(labels), all_different(labels), seed)
    for k, count in enumerate(counts):
        for number in (VAL, TEST):
            taken = int((np.array(labels)[split.indices(number)] == k).sum())
            assert taken >= 1
            assert abs(taken - count / 5) <= 1


def test_with_a_given_test_split_15_percent_of_train_validate() -> None:
    labels = [0] * 120 + [1] * 120
    given_split = ([TRAIN] * 100 + [TEST] * 20) * 2
    split = make_split(listing(labels, given_split), all_different(labels), 0)
    assert [len(split.indices(number)) for number in (TRAIN, VAL, TEST)] == [170, 30, 40]


def test_a_search_may_ask_for_the_halves_of_the_papers() -> None:
    """DARTS, section 3.1: half of the training images for the weights, half for the policy."""
    labels = [0] * 120 + [1] * 120
    given_split = ([TRAIN] * 100 + [TEST] * 20) * 2
    split = make_split(listing(labels, given_split), all_different(labels), 0, val_share=0.5)
    assert [len(split.indices(number)) for number in (TRAIN, VAL, TEST)] == [100, 100, 40]
    split = make_split(listing(labels), all_different(labels), 0, val_share=0.25)
    assert [len(split.indices(number)) for number in (TRAIN, VAL, TEST)] == [144, 48, 48]
    split = make_split(listing([0] * 3 + [1] * 4), all_different([0] * 7), 0, val_share=0.9)
    assert [len(split.indices(number)) for number in (TRAIN, VAL, TEST)] == [2, 3, 2]


def test_at_most_10000_images_validate() -> None:
    labels = [0, 1] * 60_000
    split = make_split(listing(labels), all_different(labels), 0)
    assert [len(split.indices(number)) for number in (TRAIN, VAL, TEST)] == [100_000, 10_000, 10_000]


def test_the_seed_decides() -> None:
    labels = [0, 1] * 50
    first, again, other = (make_split(listing(labels), all_different(labels), seed) for seed in (0, 0, 1))
    assert (first.assignment == again.assignment).all()
    assert (first.assignment != other.assignment).any()


def test_copies_of_test_images_are_dropped_from_train() -> None:
    labels = [0, 1] * 10
    given_split = [TRAIN] * 16 + [TEST] * 4
    groups = np.arange(20)
    groups[0] = groups[16]  # a training image that is a test image
    groups[3] = groups[5]  # two training images that are one
    split = make_split(listing(labels, given_split), groups, 0)
    assert split.indices(DROPPED).tolist() == [0]
    assert split.assignment[3] == split.assignment[5]
    assert split.notes == (
        "2 images are copies of others: copies share a split, 1 were dropped because val or test as given "
        "holds them",
    )


def test_one_image_under_two_classes_is_said() -> None:
    labels = [0, 1] * 10
    groups = np.arange(20)
    groups[1] = groups[0]
    assert "1 images appear under more than one class" in make_split(listing(labels), groups, 0).notes[1]


@pytest.mark.parametrize(
    ("labels", "given_split", "needed"),
    [
        ([0, 0, 0, 1, 1], None, "has 2 different training images, at least 3 are needed"),
        ([0, 0, 0, 1, 1], [TRAIN, TRAIN, TEST, TRAIN, TEST], "has 1 different training images, at least 2"),
    ],
)
def test_too_few_images_of_a_class_are_told(labels: list[int], given_split: list[int], needed: str) -> None:
    with pytest.raises(UsageError, match=needed) as caught:
        make_split(listing(labels, given_split), all_different(labels), 0)
    assert "'class1'" in str(caught.value)


def test_copies_do_not_count_as_different_images() -> None:
    labels = [0] * 5 + [1] * 5
    with pytest.raises(UsageError, match="'class1' has 1 different training images"):
        make_split(listing(labels), np.array([0, 1, 2, 3, 4, 5, 5, 5, 5, 5]), 0)


def test_a_class_without_training_images_is_told() -> None:
    with pytest.raises(UsageError, match=r"no training image for class class1 \(1 of 2\)"):
        listing([0, 1], [TRAIN, TEST])


def test_a_single_class_is_told() -> None:
    with pytest.raises(UsageError, match=r"at least 2 classes are needed, found 1 \(class0\)"):
        listing([0, 0])


LABELS = [0, 1] * 12
TOY = listing(LABELS)
SPLIT = make_split(TOY, all_different(LABELS), 3)


def stored() -> dict:
    return json.loads(json.dumps(to_json(TOY, SPLIT, {"image_size": 32})))


def test_a_stored_split_is_read_back() -> None:
    assert (from_json(TOY, stored()).assignment == SPLIT.assignment).all()


def test_dropped_samples_stay_dropped() -> None:
    split = Split(SPLIT.assignment.copy())
    split.assignment[split.indices(TRAIN)[0]] = DROPPED
    document = json.loads(json.dumps(to_json(TOY, split, {})))
    assert (from_json(TOY, document).assignment == split.assignment).all()


@pytest.mark.parametrize(
    "changed",
    [
        {"labels": np.array([1, 0] * 12, np.int64)},
        {"names": tuple(f"other{index}.png" for index in range(24))},
        {"sizes_bytes": np.full(24, 2, np.int64)},
        {"class_names": ("class0", "renamed")},
    ],
)
def test_other_data_is_refused(changed: dict) -> None:
    with pytest.raises(DamagedFileError, match="toy changed since the run began"):
        from_json(replace(TOY, **changed), stored())


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda d: d.update(version=2), "version 2"),
        (lambda d: d.pop("version"), "version None"),
        (lambda d: d.pop("train"), "'train' is not a list"),
        (lambda d: d.update(val="0.png"), "'val' is not a list"),
        (lambda d: d.update(test=[1, 2]), "'test' is not a list"),
        (lambda d: d["train"].pop(), "exactly once"),
        (lambda d: d["val"].append(d["train"][0]), "exactly once"),
        (lambda d: d["val"].append("stranger.png"), "exactly once"),
        (lambda d: d.update(train=d["train"] + d["test"], test=[]), "test is empty"),
        (lambda d: d.update(digest="0" * 64), "changed since"),
    ],
)
def test_a_damaged_split_is_refused(damage: Callable[[dict], object], said: str) -> None:
    document = stored()
    damage(document)
    with pytest.raises(DamagedFileError, match=said):
        from_json(TOY, document)
