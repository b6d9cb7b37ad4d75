"""Labels of tags and numbers from CSV files: what is read, how it is split, and what is told of bad ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hwnas.data import Data, inspect_data, load_data
from targets.errors import UsageError

N = 60


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(0)
    for index in range(N):
        Image.fromarray(rng.integers(0, 256, (16, 20, 3), dtype=np.uint8)).save(folder / f"{index:02d}.png")
    return folder


def read(images: Path, rows: list[str], **options: object) -> Data:
    table = images / "labels.csv"
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return load_data(str(table), 16, 0, root=images.parent / "home", **options)  # type: ignore[arg-type]


def tags(index: int) -> tuple[int, int]:
    return index % 2, int(index % 3 == 0)


COLUMNS = ["file,cat,dog", *(f"{i:02d}.png,{tags(i)[0]},{tags(i)[1]}" for i in range(N))]
LISTS = [
    "file,tags",
    *(
        f"{i:02d}.png,{';'.join(n for n, t in zip(('cat', 'dog'), tags(i), strict=True) if t)}"
        for i in range(N)
    ),
]
NUMBERS = ["file,age,height", *(f"{i:02d}.png,{i},{1.5 + i / 100}" for i in range(N))]


@pytest.mark.parametrize("rows", [COLUMNS, LISTS, [row.replace(";", "|") for row in LISTS]])
def test_tags_are_columns_or_a_list(images: Path, rows: list[str]) -> None:
    data = read(images, rows, task="multi-label")
    assert data.class_names == ("cat", "dog")
    assert data.labels.tolist() == [list(map(float, tags(i))) for i in range(N)]
    assert data.task.name == "multi-label" and data.flip


def test_numbers_are_columns_and_are_not_mirrored(images: Path) -> None:
    data = read(images, NUMBERS, task="regression")
    assert data.class_names == ("age", "height") and not data.flip
    train = data.labels[data.split("train")].astype(np.float64)
    assert data.task.mean == pytest.approx(train.mean(0)) and data.task.std == pytest.approx(train.std(0))  # type: ignore[attr-defined]
    one = read(images, NUMBERS, task="regression", label_columns=["Height"])
    assert one.class_names == ("height",) and one.labels.shape == (N, 1)


def test_every_split_has_its_share_of_rare_tags_and_of_each_range(images: Path) -> None:
    rare = ["file,often,rare", *(f"{i:02d}.png,{i % 2},{int(i < 12)}" for i in range(N))]
    data = read(images, rare, task="multi-label")
    assert [int(data.labels[data.split(name), 1].sum()) for name in ("train", "val", "test")] == [8, 2, 2]
    data = read(images, NUMBERS, task="regression")
    for name in ("val", "test"):
        fifths = np.sort(data.labels[data.split(name), 0]) // 12  # 12 images in each fifth of 0..59
        assert np.bincount(fifths.astype(int), minlength=5).min() >= 2


def test_a_split_is_stored_and_read_again(images: Path) -> None:
    first = read(images, NUMBERS, task="regression")
    again = read(images, NUMBERS, task="regression", splits=first.splits_json())
    assert all((first.split(s) == again.split(s)).all() for s in ("train", "val", "test"))
    assert first.task == again.task


def test_labels_of_another_task_are_other_data(images: Path) -> None:
    rows = ["file,x", *(f"{i:02d}.png,{i % 2}" for i in range(N))]
    digests = {
        read(images, rows, task=t, label_columns=["x"]).splits_json()["digest"]
        for t in ("classification", "multi-label", "regression")
    }
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("task", "rows", "options", "says"),
    [
        ("regression", [*NUMBERS[:5], "04.png,nan,2", *NUMBERS[6:]], {}, "'age' of 04.png is 'nan'"),
        ("regression", [*NUMBERS[:5], "04.png,,2", *NUMBERS[6:]], {}, "targets are no numbers up to 3.4e38"),
        ("regression", [*NUMBERS[:5], "04.png,5e305,2", *NUMBERS[6:]], {}, "1 targets are no numbers up to"),
        ("regression", [*NUMBERS[:5], "04.png,inf,2", *NUMBERS[6:]], {}, "fill them in, remove these rows"),
        ("regression", COLUMNS, {"label_columns": ["weight"]}, "names 'weight', which is no column"),
        ("regression", [f"{row.split(',')[0]},7" for row in NUMBERS], {}, "the same for all training images"),
        ("regression", [row.split(",")[0] for row in NUMBERS], {}, "needs one column per output"),
        ("regression", NUMBERS[:1], {}, "has a header but no rows"),
        ("multi-label", NUMBERS, {}, "'height' of 00.png is '1.5'; allowed: 0 or 1"),
        ("multi-label", [row.replace(",1", ",0") for row in COLUMNS], {}, "no training image has the tag"),
        ("multi-label", ["file,tags", *(f"{i:02d}.png," for i in range(N))], {}, "no training image has the"),
        ("multi-label", NUMBERS, {"label_columns": ["height"]}, r"the tag 1\.5.* of 60\), so there"),
        ("multi-label", COLUMNS, {"label_columns": ["cat", "cat"]}, "names a column twice"),
        ("regression", ["file,age,age", *(f"{r},{r[-1]}" for r in NUMBERS[1:])], {}, "column is named age"),
        ("regression", ["file,age,age", *NUMBERS[1:]], {"label_columns": ["age"]}, "column is named age"),
        ("classification", COLUMNS, {"label_columns": ["cat", "dog"]}, "names 2 columns, classif"),
        ("classification", COLUMNS, {}, "no label column among.*or give --label-column"),
        ("regresion", NUMBERS, {}, "unknown task 'regresion'"),
    ],
)  # fmt: skip
def test_bad_labels_get_one_clear_answer(
    images: Path, task: str, rows: list[str], options: dict[str, object], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        read(images, rows, task=task, **options)


@pytest.mark.parametrize(
    ("data", "task"), [("digits", "regression"), ("gauges", None), ("shapes", "regression")]
)
def test_a_named_set_is_of_one_task(tmp_path: Path, data: str, task: str | None) -> None:
    with pytest.raises(UsageError, match=f"{data} is a data set of the task .*; give --task"):
        load_data(data, None, 0, root=tmp_path, task=task)


def test_a_class_may_be_any_column(images: Path) -> None:
    rows = ["file,person,gender", *(f"{i:02d}.png,p{i // 5},{'mf'[i // 5 % 2]}" for i in range(N))]
    data = read(images, rows, label_columns=["gender"], group_column="person")
    assert data.class_names == ("f", "m")
    assert any("groups are kept together" in note for note in data.notes)


def labelled(column: str, cell: Callable[[int], object]) -> list[str]:
    return [f"file,label,{column}", *(f"{i:02d}.png,{'ab'[i // 2 % 2]},{cell(i)}" for i in range(N))]


class TestGroups:
    @pytest.mark.parametrize("seed", range(5))
    def test_no_group_lies_in_two_splits_and_all_classes_are_everywhere(
        self, images: Path, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        person = rng.integers(0, 14, N)  # of unequal numbers of images
        rows = [f"{i:02d}.png,p{person[i]},{'mf'[person[i] % 2]}" for i in range(N)]
        data = read(images, ["file,person,label", *rows], group_column="person")
        people = [set(person[data.split(name)].tolist()) for name in ("train", "val", "test")]
        assert sum(map(len, people)) == len(set(person.tolist()))
        for name in ("train", "val", "test"):
            assert set(data.labels[data.split(name)].tolist()) == {0, 1}

    def test_equal_images_of_two_groups_join_them(self, images: Path, tmp_path: Path) -> None:
        from hwnas.data.groups import joined

        #   pixels: 0 and 3 are copies; groups: {0, 1}, {2}, {3, 4} -> one chain of all but 2
        numbers = joined(np.array([0, 1, 2, 0, 3]), np.array([0, 0, 1, 2, 2]))
        assert len(set(numbers.tolist())) == 2 and numbers[0] == numbers[1] == numbers[3] == numbers[4]

    @pytest.mark.parametrize(
        ("rows", "options", "says"),
        [
            (labelled("who", lambda i: i % 2), {}, "2 group"),
            (
                labelled("who,split", lambda i: f"{i // 4},{('train', 'test')[i % 2]}"),
                {},
                r"are of one group, so the splits",
            ),
            (labelled("who", lambda i: ""), {}, "the group is empty"),
            (labelled("other", lambda i: ""), {}, "'who', which is no column"),
        ],
    )  # fmt: skip
    def test_groups_that_cannot_be_kept_are_told(
        self, images: Path, rows: list[str], options: dict[str, object], says: str
    ) -> None:
        with pytest.raises(UsageError, match=says):
            read(images, rows, group_column="who", **options)

    def test_a_folder_has_no_columns(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        with pytest.raises(UsageError, match="--group-column: it needs a CSV"):
            load_data(str(tmp_path / "folder"), 16, 0, root=tmp_path, group_column="who")


def test_unbalanced_classes_are_told_and_weighed_on_request(images: Path) -> None:
    rows = ["file,label", *(f"{i:02d}.png,{'ab'[i >= 50]}" for i in range(N))]
    notes = read(images, rows).notes
    assert any(
        note.startswith("classes are unbalanced: 30 training images of 'a', 6 of 'b'") for note in notes
    )
    data = read(images, rows)
    weighted = data.task.balanced(data.labels[data.split("train")])
    # n / (classes × images of the class), of 36 training images.
    expected = (36 / (2 * 30), 36 / (2 * 6))
    assert weighted.weights == pytest.approx(expected)  # type: ignore[attr-defined]


def tag_of_few(index: int) -> str:
    return "seldom" if index < 2 else ("cat", "dog")[index % 2]


def test_what_is_there_is_told_before_a_search(images: Path) -> None:
    read(images, NUMBERS, task="regression")
    options = {"root": images.parent / "home", "task": "regression"}
    facts = inspect_data(str(images / "labels.csv"), 16, **options)  # type: ignore[arg-type]
    assert (facts.n_outputs, facts.counted, sum(facts.splits.values())) == (2, "target", N)
    assert next(iter(facts.classes)) == "age below 11.8" and len(facts.classes) == 5


@pytest.mark.parametrize("columns", [["height"], []])
def test_tags_that_the_drawn_splits_leave_no_training_image_are_a_problem(
    images: Path, tmp_path: Path, columns: list[str]
) -> None:
    """60 numbers read as tags, or a tag on 2 of 60 images where both test or validate."""
    table = images / "labels.csv"
    rows = NUMBERS if columns else ["file,tags", *(f"{i:02d}.png,{tag_of_few(i)}" for i in range(N))]
    table.write_text("\n".join(rows) + "\n")
    facts = [
        inspect_data(str(table), 16, seed, root=tmp_path, task="multi-label", label_columns=columns)
        for seed in range(20)
    ]
    lacking = [len(f.problems) for f in facts]
    assert set(lacking) == ({1} if columns else {0, 1})
    for each in facts:
        assert not each.problems or "no training image has the tag" in str(each.problems[0])
        assert not each.problems or not each.splits
