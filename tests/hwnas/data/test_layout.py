"""Which file belongs to which class and split, from paths alone."""

import time

import pytest

from hwnas.data.layout import Placed, arrange
from hwnas.data.source import TEST, TRAIN, VAL
from targets.errors import UsageError


def place(*paths: str, folders: tuple[str, ...] = ()) -> set[tuple[str, str, int]]:
    placed, _ = arrange(sorted(paths), folders, "data")
    return {(item.path, item.class_name, item.split) for item in placed}


def test_class_folders() -> None:
    assert place("cat/1.jpg", "dog/2.PNG") == {("cat/1.jpg", "cat", TRAIN), ("dog/2.PNG", "dog", TRAIN)}


@pytest.mark.parametrize(("val", "train"), [("val", "train"), ("valid", "Train"), ("Validation", "training")])
def test_split_folders_by_any_usual_name(val: str, train: str) -> None:
    got = place(f"{train}/cat/1.jpg", f"{val}/cat/2.jpg", "test/cat/3.jpg")
    assert {(class_name, split) for _, class_name, split in got} == {
        ("cat", TRAIN),
        ("cat", VAL),
        ("cat", TEST),
    }


def test_one_enclosing_folder_is_looked_through() -> None:
    assert place("top/train/cat/1.jpg", "top/test/cat/2.jpg") == {
        ("top/train/cat/1.jpg", "cat", TRAIN),
        ("top/test/cat/2.jpg", "cat", TEST),
    }
    assert {row[1] for row in place("top/cat/1.jpg", "top/dog/2.jpg")} == {"cat", "dog"}


def test_a_lone_train_folder_holds_the_classes() -> None:
    assert {row[1:] for row in place("train/cat/1.jpg", "train/dog/2.jpg")} == {
        ("cat", TRAIN),
        ("dog", TRAIN),
    }


def test_deeper_folders_belong_to_their_class() -> None:
    assert {row[1] for row in place("cat/a/1.jpg", "cat/b/2.jpg", "dog/3.jpg")} == {"cat", "dog"}


def test_a_class_may_be_called_test() -> None:
    assert {row[1] for row in place("test/1.jpg", "exam/2.jpg")} == {"test", "exam"}


def test_what_is_left_out_is_said() -> None:
    paths = ["cat/1.jpg", "cat/notes.txt", "dog/2.jpg", "dog/3.heic", "logo.png"]
    placed, notes = arrange(paths, ["cat", "dog", "owl"], "data")
    assert [item.path for item in placed] == ["cat/1.jpg", "dog/2.jpg"]
    assert notes == [
        "ignored (no supported image): 2: cat/notes.txt, dog/3.heic",
        "ignored (outside every class folder): 1: logo.png",
        "ignored (folder without images): 1: owl",
    ]


def test_an_unlabelled_test_folder_is_left_out() -> None:
    paths = ["test/9.jpg", "train/cat/1.jpg", "train/dog/2.jpg"]
    placed, notes = arrange(paths, [], "data")
    assert placed == [Placed("train/cat/1.jpg", "cat", TRAIN), Placed("train/dog/2.jpg", "dog", TRAIN)]
    assert notes == ["ignored (outside every class folder): 1: test/9.jpg"]


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ([], "is empty"),
        (["a.txt", "b/c.heic"], r"no supported image among 2 files \(.txt x 1, .heic x 1\); supported: .bmp"),
        (["1.jpg", "2.jpg"], "2 images but no class folders, so they have no labels"),
        (["1.jpg", "labels.csv"], r"or give the table that lies there \(labels.csv\) with --labels"),
        (["test/cat/1.jpg", "val/cat/2.jpg"], "has test, val but no train folder"),
        (["train/1.jpg", "test/2.jpg"], "no image lies in a class folder"),
    ],
)
def test_what_cannot_be_arranged_says_what_is_expected(paths: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        arrange(sorted(paths), [], "data")
    assert "data" in str(caught.value)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set", "test_set"),
        ("seg_train", "seg_test"),
        ("Train-Images", "Test-Images"),
        ("trainset", "testset"),
        ("train2017", "val2017"),
        ("dataset_train", "dataset_dev"),
    ],
)
def test_names_of_splits_with_a_word_beside_them(train: str, test: str) -> None:
    got = place(f"{train}/cat/1.jpg", f"{test}/cat/2.jpg")
    assert {row[1] for row in got} == {"cat"}
    assert len({row[2] for row in got}) == 2


def test_a_split_folder_that_is_there_twice_is_looked_through() -> None:
    got = place(
        "seg_train/seg_train/cat/1.jpg", "seg_train/seg_train/dog/1.jpg", "seg_test/seg_test/cat/2.jpg"
    )
    assert {row[1:] for row in got} == {("cat", TRAIN), ("dog", TRAIN), ("cat", TEST)}


@pytest.mark.slow
def test_the_names_of_sixty_thousand_images_are_read_in_seconds() -> None:
    names = [f"set/{top}/{i % 10}/{i}.jpg" for top in ("train", "test") for i in range(30_000)]
    started = time.process_time()
    assert len(place(*names)) == len(names)
    assert time.process_time() - started < 20.0  # 0.5 s here; hours, were every name held against every other


def test_folders_that_hold_the_same_folders_are_asked_about() -> None:
    with pytest.raises(UsageError, match="folders a, b all hold the folders cat, dog: which are the classes"):
        place("a/cat/1.jpg", "a/dog/1.jpg", "b/cat/1.jpg", "b/dog/1.jpg")
    assert {row[1] for row in place("a/left/1.jpg", "b/right/1.jpg")} == {"a", "b"}
