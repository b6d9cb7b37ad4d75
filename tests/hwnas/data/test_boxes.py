"""Images with boxes: both layouts, the cut to the square, changes while training, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hwnas.data import Augment, Data, inspect_data, load_data
from hwnas.data.batches import Batches
from hwnas.data.boxes import in_square, moved
from hwnas.data.photo_augment import PhotoAugment
from hwnas.data.yolo import names_in_yaml
from hwnas.tasks.box_scores import EMPTY, rows_of
from targets.errors import UsageError

WIDTH, HEIGHT, N = 24, 16, 20
NAMES = ["cat", "dog"]


def box(index: int) -> tuple[int, int, int, int]:
    """Left, top, width and height in px; image 7 has none."""
    return 6 + index % 4, 3 + index % 3, 8, 5


def picture(index: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(index).integers(0, 255, (size[1], size[0], 3), np.uint8))


def coco(n: int = N, first: int = 0, folder: str = "") -> dict[str, Any]:
    numbers = range(first, first + n)
    return {
        "images": [
            {"id": i, "file_name": f"{folder}{i:02d}.png", "width": WIDTH, "height": HEIGHT} for i in numbers
        ],
        "categories": [{"id": 3, "name": "dog"}, {"id": 1, "name": "cat"}],
        "annotations": [
            {
                "id": 100 + i,
                "image_id": i,
                "category_id": 1 if i % 2 else 3,
                "bbox": list(box(i)),
                "iscrowd": 0,
            }
            for i in numbers
            if i != 7
        ],
    }


def write_coco(folder: Path) -> Path:
    (folder / "images").mkdir(parents=True)
    for i in range(N):
        picture(i).save(folder / f"images/{i:02d}.png")
    (folder / "annotations.json").write_text(json.dumps(coco()))
    return folder


def write_yolo(folder: Path) -> Path:
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for i in range(N):
        picture(i).save(folder / f"images/{i:02d}.png")
        left, top, width, height = box(i)
        x, y = (left + width / 2) / WIDTH, (top + height / 2) / HEIGHT
        line = f"{0 if i % 2 else 1} {x:.6f} {y:.6f} {width / WIDTH:.6f} {height / HEIGHT:.6f}\n"
        (folder / f"labels/{i:02d}.txt").write_text("" if i == 7 else line)
    (folder / "data.yaml").write_text("train: images\nnames:\n  0: cat\n  1: dog  # and puppies\nnc: 2\n")
    return folder


def load(folder: Path, **options: object) -> Data:
    given = {"root": folder.parent / "home", "task": "detection", **options}
    return load_data(str(folder), 16, 0, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("write", [write_coco, write_yolo])
def test_both_layouts_are_read_and_cut_to_the_square(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    data = load(write(tmp_path / "set"))
    assert data.class_names == ("cat", "dog") and data.labels.shape == (N, 1, 6)
    for i in range(N):
        left, top, width, height = box(i)
        # the square is 16 px wide and begins 4 px from the left
        edges = [(left - 4) / 16, top / 16, (left + width - 4) / 16, (top + height) / 16]
        expected = [] if i == 7 else [[0 if i % 2 else 1, *edges, 0]]
        assert rows_of(data.labels[i]).tolist() == [pytest.approx(row, abs=1e-5) for row in expected]
    assert data.images([3])[0].numpy().tolist() == load(tmp_path / "set").images([3])[0].tolist()
    assert "boxes are cut at its edges" in data.preprocessing
    facts = inspect_data(str(tmp_path / "set"), 16, root=tmp_path / "home", task="detection")
    assert list(facts.classes) == ["cat", "dog", "(no object)"]


def test_a_json_file_a_zip_and_splits(tmp_path: Path) -> None:
    folder = write_coco(tmp_path / "set")
    whole = load(folder)
    assert (load(folder / "annotations.json").labels == whole.labels).all()
    shutil.make_archive(str(tmp_path / "packed"), "zip", folder)
    assert (load(tmp_path / "packed.zip").labels == whole.labels).all()
    (folder / "annotations.json").unlink()
    for number, split in enumerate(("train", "val")):  # as COCO itself lies, with equal names in two folders
        (folder / f"{split}2017").mkdir()
        for i in range(N):
            picture(100 * number + i).save(folder / f"{split}2017/{i:02d}.png")
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / f"annotations/instances_{split}2017.json").write_text(json.dumps(coco()))
    shutil.rmtree(folder / "images")
    (folder / "annotations/captions_train2017.json").write_text("{}")
    facts = inspect_data(str(folder), 16, root=tmp_path / "home", task="detection")
    assert facts.n_images == 2 * N and facts.given_splits == ("train", "val")


def test_yolo_splits_as_folders_and_images_without_a_label_file(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        write_yolo(tmp_path / "set" / split)
    for path in (tmp_path / "set/valid/images").iterdir():
        picture(100 + int(path.stem)).save(path)
    (tmp_path / "set/train/labels/04.txt").unlink()
    facts = inspect_data(str(tmp_path / "set"), 16, root=tmp_path / "home", task="detection")
    assert facts.given_splits == ("train", "val")
    assert any("1 images have no label file" in note for note in facts.notes)


@pytest.mark.parametrize(
    "text",
    ["names: [cat, 'dog']", "names: {0: cat, 1: \"dog\"}", "names:\n- cat\n- dog\nnc: 2",
     "names:\n  1: dog\n  0: cat", "nc: 2\nnames: [ # all\n  'cat',\n  'dog'\n]"],
)  # fmt: skip
def test_names_in_a_data_yaml(text: str) -> None:
    assert names_in_yaml(text, "data.yaml") == ("cat", "dog")


def test_boxes_outside_of_the_square_are_left_out_and_slivers_count_nowhere() -> None:
    rows = np.array([
        [0, 0.0, 0.2, 0.1, 0.5, 0],  # left of the square
        [0, 0.1, 0.0, 0.3, 1.0, 0],  # a third of it inside
        [1, 0.0, 0.0, 0.2, 1.0, 0],  # a sixth of it inside
    ])  # fmt: skip
    cut = in_square(rows, 24, 16)  # the square is the middle two thirds
    assert (cut.gone, cut.crowds) == (1, 1)
    assert cut.rows[:, 0].tolist() == [0, 1] and cut.rows[:, 5].tolist() == [0, 1]
    assert cut.rows[0, 1:5] == pytest.approx([0, 0, 0.2, 1])
    assert len(in_square(np.zeros((0, 6)), 24, 16).rows) == 0


def blobs(n: int = 12, side: int = 32) -> tuple[torch.Tensor, np.ndarray]:
    """Black images with one white rectangle, and its box."""
    images = torch.zeros(n, 3, side, side, dtype=torch.uint8)
    boxes = np.zeros((n, 2, 6), np.float32)
    boxes[:, 1, 0] = EMPTY
    for i in range(n):
        left, top, right, bottom = 8 + i % 3, 10 - i % 4, 17 + i % 5, 20
        images[i, :, top:bottom, left:right] = 255
        boxes[i, 0, 1:5] = np.array([left, top, right, bottom]) / side
    return images, boxes


@pytest.mark.parametrize(
    "augment",
    [
        Augment(shift=0.25, flip=True),
        Augment(shift=0.1, scale=0.3),
        PhotoAugment(base=Augment(flip=True), crop=0.5, colour=0.1),
    ],
)
def test_boxes_move_with_their_images(augment: Augment | PhotoAugment) -> None:
    images, boxes = blobs()
    changed, after = augment.moved(images, boxes, np.random.default_rng(0))
    assert after.shape == boxes.shape and not np.allclose(after, boxes)
    seen = 0
    for image, rows in zip(changed, after, strict=True):
        found = rows_of(rows)
        down, across = np.nonzero(image[0].numpy() > 127)
        if not len(found):
            assert not len(down)
            continue
        (row,) = found
        edges = np.array([across.min(), down.min(), across.max() + 1, down.max() + 1]) / 32
        assert np.abs(edges - row[1:5]).max() <= 1.01 / 32
        seen += 1
    assert seen > 8


def test_a_turned_box_is_the_one_around_it() -> None:
    boxes = np.zeros((1, 1, 6), np.float32)
    boxes[0, 0, 1:5] = (0.4, 0.45, 0.6, 0.55)
    turn = np.array([[[0.0, -1.0], [1.0, 0.0]]])
    assert moved(boxes, turn, np.zeros((1, 2)))[0, 0, 1:5] == pytest.approx([0.45, 0.4, 0.55, 0.6])


def test_batches_are_the_same_whenever_they_are_asked_for(tmp_path: Path) -> None:
    data = load(write_coco(tmp_path / "set"))
    batches = Batches(data, "train", 4, 0, Augment(flip=True))
    (x, y), (again, labels) = batches.at(1), batches.at(1)
    assert torch.equal(x, again) and torch.equal(y, labels) and y.shape == (4, 1, 6)


Change = Callable[[Path, dict[str, Any]], None]


def _annotation(**values: object) -> Change:
    return lambda folder, document: document["annotations"][2].update(values)


def _twice(key: str) -> Change:
    return lambda folder, document: document[key].append(dict(document[key][0]))


COCO_FAULTS: dict[str, tuple[Change, str]] = {
    "class": (_annotation(category_id=9), r"has the category 9, which is not in `categories`"),
    "image": (_annotation(image_id=77), r"annotation 102 belongs to the image 77, which is not in `images`"),
    "size": (_annotation(bbox=[1, 1, 0, 5]), r"1 boxes cannot be used: annotation 102 is 0 x 5 px"),
    "negative": (_annotation(bbox=[9, 9, -3, 5]), r"annotation 102 is -3 x 5 px"),
    "outside": (_annotation(bbox=[20, 1, 9, 5]), r"from 20, 1 to 29, 6 px, outside of its image of 24"),
    "text": (_annotation(bbox="1 2 3 4"), r"has the bbox '1 2 3 4', which is not \[left, top"),
    "nan": (_annotation(bbox=[1, float("nan"), 3, 4]), r"holds NaN, which is no number"),
    "missing": (lambda folder, d: (folder / "images/03.png").unlink(), r"1 of 20 images are not there: 03"),
    "image ids": (_twice("images"), r"two of `images` have the id 0"),
    "box ids": (_twice("annotations"), r"two of `annotations` have the id 100"),
    "listed": (lambda folder, d: d["images"].append({**d["images"][0], "id": 99}), r"00\.png is listed"),
    "name": (lambda folder, d: d["categories"][0].update(name="cat"), r"two categories are called 'cat'"),
    "no list": (lambda folder, d: d.update(annotations=None), r"`annotations` is no list of objects"),
    "no size": (lambda folder, d: d["images"][1].pop("width"), r"image 1: width None and height 16"),
    "other size": (
        lambda folder, d: picture(3, (WIDTH, 20)).save(folder / "images/03.png"),
        r"1 of 20 images have another size than is stated: images/03\.png is 24 x 20 px, stated 24 x 16",
    ),
    "nothing": (lambda folder, d: d["annotations"].clear(), r"no training image has an object"),
}  # fmt: skip


@pytest.mark.parametrize("fault", COCO_FAULTS)
def test_a_fault_of_coco_has_one_clear_answer(tmp_path: Path, fault: str) -> None:
    change, message = COCO_FAULTS[fault]
    folder, document = write_coco(tmp_path / "set"), coco()
    change(folder, document)
    (folder / "annotations.json").write_text(json.dumps(document))
    with pytest.raises(UsageError, match=message):
        load(folder)


def test_a_picture_that_is_turned_by_its_mark_is_named(tmp_path: Path) -> None:
    folder = write_coco(tmp_path / "set")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(3).save(folder / "images/03.png", exif=exif)
    with pytest.raises(UsageError, match="turned by its EXIF mark: save it upright"):
        load(folder)


YOLO_FAULTS = {
    "class": ("5 0.5 0.5 0.2 0.2", r"labels/03\.txt:1 has the class 5; there are 2, 0 to 1"),
    "half": ("0.5 0.5 0.5 0.2 0.2", r"labels/03\.txt:1 has the class 0\.5"),
    "text": ("cat 0.5 0.5 0.2 0.2", r"is 'cat 0\.5 0\.5 0\.2 0\.2', which is not five numbers"),
    "few": ("0 0.5 0.5 0.2", r"has 4 numbers, expected class, centre x and y, width, height"),
    "outline": ("0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5", r"has 9 numbers, .*outlines are not read"),
    "size": ("0 0.5 0.5 0 0.2", r"is 0 x 0\.2; a box needs a width and a height above 0"),
    "outside": ("0 0.9 0.5 0.4 0.2", r"from 0\.7, 0\.4 to 1\.1, 0\.6, outside of its image"),
    "nan": ("0 nan 0.5 0.4 0.2", r"has an edge that is no number"),
    "px": ("0 12 8 10 10", r"outside of its image of 1 x 1"),
}


@pytest.mark.parametrize("fault", YOLO_FAULTS)
def test_a_fault_of_yolo_has_one_clear_answer(tmp_path: Path, fault: str) -> None:
    line, message = YOLO_FAULTS[fault]
    folder = write_yolo(tmp_path / "set")
    (folder / "labels/03.txt").write_text(f"{line}\n")
    with pytest.raises(UsageError, match=message):
        load(folder)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (
            lambda folder: (folder / "images/03.png").unlink(),
            r"1 of 20 label files have no image: labels/03\.txt",
        ),
        (lambda folder: (folder / "data.yaml").unlink(), r"no file names the classes; give a data\.yaml"),
        (lambda folder: (folder / "data.yaml").write_text("names: 3\n"), r"`names` is no list of classes"),
        (
            lambda folder: (folder / "data.yaml").write_text("names: [a, a]\n"),
            r"names 'a' twice; give 1 to",
        ),
        (
            lambda folder: shutil.copy(folder / "images/03.png", folder / "images/03.bmp"),
            r"in their suffix alone",
        ),
        (lambda folder: shutil.rmtree(folder / "labels"), r"neither JSON nor labels/\*\.txt among 21 files"),
    ],
)
def test_a_fault_of_the_layout_has_one_clear_answer(
    tmp_path: Path, break_it: Callable[[Path], object], message: str
) -> None:
    folder = write_yolo(tmp_path / "set")
    break_it(folder)
    with pytest.raises(UsageError, match=message):
        load(folder)


@pytest.mark.parametrize(
    ("content", "message"), [("{", "is no JSON"), ("[]", "is no COCO file"), ("[" * 99999, "is no JSON")]
)
def test_what_is_no_coco_file_is_said(tmp_path: Path, content: str, message: str) -> None:
    folder = write_coco(tmp_path / "set")
    (folder / "annotations.json").write_text(content)
    with pytest.raises(UsageError, match=message):
        load(folder)


def test_more_json_than_is_read_is_said_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas.data.coco.MOST_JSON_BYTES", 100)
    with pytest.raises(UsageError, match=r"MB of JSON are read; leave out what is no box"):
        load(write_coco(tmp_path / "set"))


def test_more_boxes_of_an_image_than_are_read_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas.data.box_source.MOST_BOXES", 1)
    document = coco()
    document["annotations"].append({**document["annotations"][0], "id": 999})
    folder = write_coco(tmp_path / "set")
    (folder / "annotations.json").write_text(json.dumps(document))
    with pytest.raises(UsageError, match=r"images/00\.png has 2 boxes, at most 1 are read"):
        load(folder)


def test_more_classes_than_are_read_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas.data.yolo.MOST_CLASSES", 1)
    with pytest.raises(UsageError, match=r"data\.yaml: names 2 classes; give 1 to 1 different names"):
        load(write_yolo(tmp_path / "set"))


def test_a_table_is_no_source_of_boxes(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("file,label\n")
    with pytest.raises(UsageError, match="boxes are not read from a table; expected COCO's JSON"):
        load(tmp_path / "a.csv")
