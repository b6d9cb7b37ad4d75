"""A CSV of names and labels: what it may look like and what it is told."""

from pathlib import Path

import pytest

from hwnas.data import load_data
from hwnas.data.file_source import FileSource
from hwnas.data.source import TEST, TRAIN, VAL
from hwnas.data.table import open_table
from targets.errors import DamagedFileError, UsageError


@pytest.fixture
def images(write_images) -> Path:
    return write_images([f"{index}.png" for index in range(4)])


def read(images: Path, text: str | bytes) -> FileSource:
    table = images.parent / "labels.csv"
    table.write_bytes(text.encode() if isinstance(text, str) else text)
    return open_table(table, images)


GOOD = "file,label\n0.png,a\n1.png,b\n2.png,a\n3.png,b\n"


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "\ufeff" + GOOD,  # byte order mark
        GOOD.replace("\n", "\r\n"),
        GOOD.replace(",", ";"),
        GOOD.replace(",", "\t"),
        GOOD.replace("file,label", "Image, Class"),
        GOOD.replace("0.png", '"0.png"').replace("1.png", "./1.png"),
        GOOD + "\n\n",
        "id,label,file\n" + "".join(f"{i},{'ab'[i % 2]},{i}.png\n" for i in range(4)),
    ],
)
def test_common_dialects_are_read(images: Path, text: str) -> None:
    listing = read(images, text).listing
    assert listing.names == ("0.png", "1.png", "2.png", "3.png")
    assert listing.class_names == ("a", "b")
    assert listing.labels.tolist() == [0, 1, 0, 1]


def test_labels_are_text_even_when_they_are_numbers(images: Path) -> None:
    assert read(images, GOOD.replace(",a", ",7").replace(",b", ",07")).listing.class_names == ("07", "7")


def test_a_split_column_is_kept(images: Path) -> None:
    text = "file,label,split\n0.png,a,train\n1.png,b,Train\n2.png,a,valid\n3.png,b,test\n"
    assert read(images, text).listing.given.tolist() == [TRAIN, TRAIN, VAL, TEST]


def test_images_that_are_not_listed_are_said(images: Path) -> None:
    listing = read(images, "file,label\n0.png,a\n1.png,b\n").listing
    assert listing.notes == ("ignored (not in labels.csv): 2: 2.png, 3.png",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("file,label\n", "has a header but no rows"),
        ("0.png,a\n1.png,b\n", "no file column among '0.png, a'; name it one of file, filename"),
        ("file,colour\n0.png,a\n", "no label column among 'file, colour'; name it one of label, class"),
        ("file,path,label\n0.png,0.png,a\n", "2 columns could be the file: file, path; keep one"),
        (GOOD + "4.png,a\n", r"1 of 5 files are not in .*: 4\.png; names are relative"),
        (GOOD + "../x.png,a\n", r"1 of 5 files are not in .*: \.\./x\.png"),
        (GOOD + "/etc/passwd,a\n", r"1 of 5 files are not in .*: /etc/passwd"),
        (GOOD + "0.png,b\n", r"0\.png is listed twice; keep one row per image"),
        ("file,label,label\n0.png,a,b\n", "more than one column is named label; rename or remove one"),
        (GOOD.replace("2.png,a", "2.png,"), "row 4: the label is empty"),
        (GOOD.replace("2.png,a", ",a"), "row 4: the file is empty"),
        (GOOD + "3.png\n", "row 6: 1 cells, fewer than the header has"),
        ("file,label,split\n0.png,a,extra\n", "row 2: split 'extra'; allowed: train"),
        (GOOD.replace(",b", ",a"), r"at least 2 classes are needed, found 1 \(a\)"),
    ],
)
def test_a_wrong_table_is_told_where_and_what_is_allowed(images: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        read(images, text)
    assert "labels" in str(caught.value)


@pytest.mark.parametrize(
    "text", [b"file,label\n\xff\xfe.png,a\n", b'file,label\n"0.png,a\n', b"\x89PNG\r\n\x1a\n\0"]
)
def test_what_is_no_utf8_csv_is_damage(images: Path, text: bytes) -> None:
    with pytest.raises((DamagedFileError, UsageError), match=r"labels\.csv"):
        read(images, text)


def test_a_listed_file_that_is_no_image_is_named(images: Path) -> None:
    (images / "notes.txt").write_text("x")
    with pytest.raises(UsageError, match=r"1 rows name no supported image, e.g. notes\.txt"):
        read(images, GOOD + "notes.txt,a\n")


def test_a_table_of_other_images_is_refused_before_all_its_rows_are_read(images: Path) -> None:
    rows = "".join(f"other{i}.png,a\n" for i in range(20_000))
    with pytest.raises(UsageError, match=r"more than 10,000 of the first 10,003 files are not in .*other0"):
        read(images, "file,label\n0.png,a\n1.png,b\n" + rows + "unfinished row")


def test_names_are_read_as_archives_list_them(write_images) -> None:
    images = write_images(["a/0.png", "a/1.png", "a.b/2.png", "3.png"])
    text = "file,label\n.\\a//0.png,x\na/./1.png,y\na.b/2,x\n./3.png,y\n"
    assert read(images, text).listing.names == ("3.png", "a.b/2.png", "a/0.png", "a/1.png")


def test_a_missing_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        open_table(tmp_path / "labels.csv", tmp_path)


def test_both_ways_to_name_a_table_load_the_same(write_images, tmp_path: Path, pack) -> None:
    images = write_images([f"{index}.png" for index in range(12)])
    rows = "\n".join(f"{index}.png,{'odd' if index % 2 else 'even'}" for index in range(12))
    (images / "labels.csv").write_text(f"file,label\n{rows}\n")
    inside = load_data(str(images / "labels.csv"), 16, 0, root=tmp_path)
    beside = load_data(str(images), 16, 0, root=tmp_path, labels_csv=images / "labels.csv")
    zipped = load_data(str(pack(images)), 16, 0, root=tmp_path, labels_csv=images / "labels.csv")
    for other in (beside, zipped):
        assert other.splits_json() == inside.splits_json()


@pytest.mark.parametrize("header", ["image_id,label", "id_code,diagnosis", "id,breed"])
@pytest.mark.parametrize("suffix", [".png", ""])
def test_usual_names_of_columns_and_names_without_a_suffix(images: Path, header: str, suffix: str) -> None:
    rows = [f"{index}{suffix},{'ab'[index % 2]}" for index in range(4)]
    source = read(images, "\n".join([header, *rows, ""]))
    assert source.listing.names == tuple(f"{index}.png" for index in range(4))
    assert source.listing.labels.tolist() == [0, 1, 0, 1]


def test_columns_tell_results_apart_that_of_the_group_first(images: Path) -> None:
    table = images.parent / "labels.csv"
    table.write_text("imageName,label,person,Camera\n0,a,ann,x\n1,b,bob,\n2,a,ann,y\n3,b,eve,x\n")
    listing = open_table(table, images, group_column="person", report_by=["camera"]).listing
    assert listing.class_names == ("a", "b")
    person, camera = listing.columns
    assert (person.name, person.names, person.values.tolist()) == (
        "person",
        ("ann", "bob", "eve"),
        [0, 1, 0, 2],
    )
    assert (camera.name, camera.names, camera.values.tolist()) == (
        "Camera",
        ("(empty)", "x", "y"),
        [1, 0, 2, 1],
    )
    with pytest.raises(UsageError, match="--report-by names 'lens', which is no column"):
        open_table(table, images, report_by=["lens"])
