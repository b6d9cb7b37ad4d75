"""Images with masks: layouts, palettes, geometry, augmentation, and what is refused."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hwnas.data import Augment, Data, inspect_data, load_data
from hwnas.data.masks import MaskClasses, fit_mask, names_of
from hwnas.data.photo_augment import PhotoAugment
from hwnas.tasks.mask_scores import palette
from targets.errors import UsageError

SIDE = 16


def mask(index: int, size: tuple[int, int] = (SIDE, SIDE)) -> np.ndarray:
    """A rectangle of class 1, or 2 in every second mask, on 0."""
    values = np.zeros(size, np.uint8)
    values[3 : 9 + index % 5, 4:11] = 1 + index % 2
    return values


def picture(values: np.ndarray, index: int) -> Image.Image:
    noise = np.random.default_rng(index).integers(0, 60, (*values.shape, 3))
    return Image.fromarray((60 * values[..., None] + noise).astype(np.uint8))


def write(folder: Path, n: int = 20, images: str = "images", masks: str = "masks") -> Path:
    """The pictures as PNG, and grey masks."""
    for name in (images, masks):
        (folder / name).mkdir(parents=True)
    for i in range(n):
        picture(mask(i), i).save(folder / images / f"{i:02d}.png")
        Image.fromarray(mask(i)).save(folder / masks / f"{i:02d}.png")
    return folder


def load(folder: Path, **options: object) -> Data:
    given = {"root": folder.parent / "home", "task": "segmentation", **options}
    return load_data(str(folder), SIDE, 0, **given)  # type: ignore[arg-type]


def test_folders_of_equal_names_are_pairs(tmp_path: Path) -> None:
    data = load(write(tmp_path / "set"))
    assert data.class_names == ("0", "1", "2") and data.labels.shape == (20, SIDE, SIDE)
    for i in range(20):
        assert (data.labels[i] == mask(i)).all()
    again = load(tmp_path / "set")  # counts and pixels from the cache
    assert (again.labels == data.labels).all() and again.splits_json() == data.splits_json()


def test_splits_as_folders_names_of_classes_and_a_zip(tmp_path: Path) -> None:
    import shutil

    for split in ("train", "test"):
        write(tmp_path / "set" / split, 20)
    for path in (tmp_path / "set/test/images").iterdir():  # copies would be dropped from train
        picture(mask(int(path.stem)), 100 + int(path.stem)).save(path)
    (tmp_path / "set/classes.txt").write_text("ground\nleft\nright\nnever\n")
    shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "set")
    facts = inspect_data(str(tmp_path / "packed.zip"), SIDE, root=tmp_path / "home", task="segmentation")
    assert facts.given_splits == ("train", "test") and list(facts.classes) == [
        "ground",
        "left",
        "right",
        "never",
    ]
    assert any("no mask shows never" in note for note in facts.notes)


def test_a_folder_of_pairs_is_not_taken_for_two_classes(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", masks="labels")
    with pytest.raises(UsageError, match="a mask of each, not classes; give --task segmentation"):
        load_data(str(folder), SIDE, 0, root=tmp_path / "home")
    classes = write(tmp_path / "classes", images="masks", masks="faces")  # one of them is a class
    assert load_data(str(classes), SIDE, 0, root=tmp_path / "home").class_names == ("faces", "masks")


def test_a_table_names_the_masks(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", masks="annotated")
    rows = [f"images/{i:02d}.png,annotated/{i:02d},p{i // 2}" for i in range(20)]
    (folder / "pairs.csv").write_text("\n".join(["file,mask,person", *rows]))
    data = load_data(
        str(folder / "pairs.csv"), SIDE, 0, root=tmp_path, task="segmentation", group_column="person"
    )
    assert (data.labels[7] == mask(7)).all()
    (folder / "pairs.csv").write_text("file,mask\nimages/00.png,annotated/99.png")
    with pytest.raises(UsageError, match=r"1 of 1 masks are not in .*annotated/99\.png"):
        load_data(str(folder / "pairs.csv"), SIDE, 0, root=tmp_path, task="segmentation")


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def test_indices_colours_and_grey_are_the_same_mask() -> None:
    values = mask(1)
    values[0] = 255
    indexed = Image.fromarray(values)
    indexed.putpalette(palette().ravel().tolist())
    own = MaskClasses.parse("ground 10 20 30\na #ff0000\nb 0,255,0", "classes.txt")
    assert own.names == ("ground", "a", "b")
    colours = np.array([[10, 20, 30], [255, 0, 0], [0, 255, 0]], np.uint8)
    inside = np.where(values == 255, 0, values)
    for classes, image, expected in (
        (MaskClasses(), Image.fromarray(values), values),
        (MaskClasses(), indexed, values),
        (MaskClasses(), Image.fromarray(palette()[values]), values),
        (own, Image.fromarray(colours[inside]), inside),
        (MaskClasses(), Image.fromarray(np.repeat(inside[..., None] + 3, 3, 2)), inside + 3),
    ):
        assert (classes.numbers(encoded(image), "m.png") == expected).all()


def test_masks_are_cut_as_their_images_are() -> None:
    wide = np.arange(6, dtype=np.uint8).repeat(4).reshape(6, 4).T  # (4, 6): the columns are 0..5
    assert fit_mask(wide, 4)[0].tolist() == [1, 2, 3, 4]
    assert fit_mask(wide, 2)[0].tolist() in ([1, 3], [2, 4])  # of each two the nearer


def test_black_and_white_masks_are_two_classes(tmp_path: Path) -> None:
    folder = write(tmp_path / "set")
    for i in range(20):
        Image.fromarray(np.where(mask(i) > 0, 255, 0).astype(np.uint8)).save(folder / f"masks/{i:02d}.png")
    data = load(folder)
    assert np.unique(data.labels).tolist() == [0, 1] and any(
        "255 is taken as class 1" in n for n in data.notes
    )


@pytest.mark.parametrize(
    "augment",
    [
        Augment(shift=0.25, flip=True),
        Augment(rotate_degrees=20, scale=0.2, cutout=0.3),
        PhotoAugment(base=Augment(flip=True), crop=0.5, colour=0.3),
    ],
)
def test_masks_move_with_their_images_and_keep_their_values(augment: Augment | PhotoAugment) -> None:
    values = torch.from_numpy(np.stack([mask(i) for i in range(8)]))
    image = (values * 100).unsqueeze(1).repeat(1, 3, 1, 1)  # the image tells its own mask
    both = torch.cat([image, values.unsqueeze(1)], 1)
    changed = augment.apply(both, np.random.default_rng(0), planes=1)
    labels = changed[:, 3]
    assert set(labels.unique().tolist()) <= {0, 1, 2}
    assert not torch.equal(labels.to(torch.uint8), values)
    if isinstance(augment, Augment) and not augment.rotate_degrees:
        assert (changed[:, 0] == labels * 100).all()
        assert (changed[:, :3] == augment.apply(image, np.random.default_rng(0))).all()


def damaged(folder: Path, what: str) -> None:
    """One fault in a good set."""
    path = folder / "masks/03.png"
    if what == "size":
        Image.fromarray(mask(3, (SIDE, 20))).save(path)
    elif what == "missing":
        path.unlink()
    elif what == "colour":
        Image.fromarray(np.full((SIDE, SIDE, 3), (1, 2, 3), np.uint8)).save(path)
    elif what == "lossy":
        Image.fromarray(mask(3)).save(path.with_suffix(".jpg"))
        path.unlink()
    elif what == "deep":
        Image.fromarray(np.full((SIDE, SIDE), 900, np.uint16)).save(path)
    elif what == "class":
        (folder / "classes.txt").write_text("ground\nleft\n")
    elif what == "alone":
        for i in range(20):
            Image.fromarray(np.zeros((SIDE, SIDE), np.uint8)).save(folder / f"masks/{i:02d}.png")
    elif what == "no masks":
        (folder / "masks").rename(folder / "other")
    elif what == "twice":
        (folder / "classes.txt").write_text("ground\nleft\nleft\n")
    elif what == "nothing known":
        for each in (folder / "masks").iterdir():
            Image.fromarray(mask(3) * 0 + 255).save(each)
    elif what == "float":
        Image.fromarray(mask(3).astype(np.float32)).save(path.with_suffix(".tif"))
        path.unlink()
    elif what == "levels":
        Image.fromarray(mask(3) * 100).save(path)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("size", r"1 of 20 masks have another size than their image: masks/03\.png is 20 x 16 px, images/03"),
        ("missing", r"1 of 20 images have no mask: images/03\.png; expected"),
        (
            "colour",
            r"masks/03\.png: the colour 1 2 3 is none of the palette of PASCAL VOC; give a",
        ),
        ("lossy", r"1 masks are stored with loss, as masks/03\.jpg"),
        ("deep", r"masks/03\.png: holds values above 255"),
        ("float", r"masks/03\.tif: holds numbers with a fraction; masks hold class numbers 0 to 254"),
        ("class", r"masks hold the class 2, and 2 classes are named \(0 to 1\)"),
        ("alone", r"show 1 class \(0\), so there is nothing to learn"),
        ("no masks", r"no folder of masks among 40 files; expected images/\*\.jpg and masks"),
        ("twice", r"classes\.txt: names 'left' twice"),
        ("nothing known", r"masks hold 255 in every pixel, which says nothing"),
        ("levels", r"masks hold 0, 1, 2, 200, which are no class numbers"),
    ],
)
def test_a_fault_has_one_clear_answer(tmp_path: Path, what: str, message: str) -> None:
    folder = write(tmp_path / "set")
    damaged(folder, what)
    with pytest.raises(UsageError, match=message):
        load(folder)


def test_names_of_classes_are_numbers_where_nobody_says_them() -> None:
    assert names_of(MaskClasses(), [0, 2, 1], "set") == ("0", "1", "2")


def test_masks_have_to_fit_in_memory(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="masks cannot be decoded on demand"):
        load(write(tmp_path / "set"), memory_cap_mb=0.001)
