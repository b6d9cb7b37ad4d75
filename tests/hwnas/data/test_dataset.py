"""load_data end to end: sizes, statistics, cache, memory, resume, and what is told of bad input."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hwnas.data import Data, channel_statistics, load_data
from hwnas.data.folder import open_folder
from hwnas.data.pixels import ImageCache
from targets.errors import DamagedFileError, HwnasError, UsageError
from tests.support.logs import silent

CLASSES = ["cat", "dog", "owl"]


@pytest.fixture
def photos(write_images, named) -> Path:
    return write_images(named(CLASSES, 10), side=40)


def parts(data: Data) -> list[list[int]]:
    return [data.split(name).tolist() for name in ("train", "val", "test")]


def test_a_folder_loads(photos: Path, tmp_path: Path) -> None:
    data = load_data(str(photos), None, 0, root=tmp_path / "home")
    assert (data.name, data.class_names, data.n_classes) == ("photos", ("cat", "dog", "owl"), 3)
    assert (data.image_size, data.in_channels, data.flip) == (48, 3, True)
    assert not any("decoded on demand" in note for note in data.notes)
    assert [len(part) for part in parts(data)] == [18, 6, 6]
    images = data.images(data.split("val"))
    assert images.shape == (6, 3, 48, 48)
    assert images.dtype == torch.uint8
    assert data.labels.dtype == np.int64
    assert data.labels.tolist() == [0] * 10 + [1] * 10 + [2] * 10


def test_digits_split_60_20_20_and_need_no_file(tmp_path: Path) -> None:
    data = load_data("digits", None, 0, root=tmp_path)
    n = [len(part) for part in parts(data)]
    assert sum(n) == 1797
    assert n[1] == n[2] and abs(n[1] - 1797 / 5) < 5
    assert (data.image_size, data.in_channels, data.flip) == (32, 1, False)
    assert list(tmp_path.iterdir()) == []


def test_statistics_are_those_of_the_training_images(photos: Path, tmp_path: Path) -> None:
    data = load_data(str(photos), 32, 0, root=tmp_path)
    train = data.images(data.split("train")).double() / 255
    assert data.mean == pytest.approx(train.mean((0, 2, 3)).tolist(), abs=1e-12)
    assert data.std == pytest.approx(train.std((0, 2, 3), correction=0).tolist(), abs=1e-12)


def test_blank_images_do_not_divide_by_zero(tmp_path: Path) -> None:
    for index in range(20):  # all different, in the first channel only
        file = tmp_path / "photos" / "ab"[index % 2] / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (index, 7, 7)).save(file)
    assert load_data(str(tmp_path / "photos"), 16, 0, root=tmp_path).std[1:] == (1.0, 1.0)


def test_classes_that_are_characters_are_not_mirrored(write_images, named, tmp_path: Path) -> None:
    assert not load_data(str(write_images(named("0123", 5))), 16, 0, root=tmp_path).flip


def test_given_splits_are_kept_and_copies_are_dropped(write_images, named, tmp_path: Path) -> None:
    folder = write_images(named(CLASSES, 8, "train/") + named(CLASSES, 2, "test/"))
    (folder / "train/cat/copy.png").write_bytes((folder / "test/cat/00.png").read_bytes())
    said: list[str] = []
    data = load_data(str(folder), 16, 0, root=tmp_path, log=said.append)
    document = data.splits_json()
    assert document["dropped"] == ["train/cat/copy.png"]
    assert sorted(document["test"]) == named(CLASSES, 2, "test/")
    assert any("1 were dropped" in line for line in said)
    assert said[0].startswith("decoding 31 images")


def test_the_unknown_split_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown split 'dev'; known: train, val, test"):
        load_data("digits", 16, 0, root=tmp_path).split("dev")


class TestCache:
    def test_the_second_start_reads_the_cache(self, photos: Path, tmp_path: Path) -> None:
        said: list[str] = []
        first = load_data(str(photos), 32, 0, root=tmp_path, log=said.append)
        second = load_data(str(photos), 32, 0, root=tmp_path, log=said.append)
        assert said == ["decoding 30 images of photos at 32 px (once)"]
        every = range(30)
        assert torch.equal(first.images(every), second.images(every))
        assert (first.mean, first.std, parts(first)) == (second.mean, second.std, parts(second))

    def test_a_changed_image_is_decoded_again(self, photos: Path, tmp_path: Path) -> None:
        first = load_data(str(photos), 32, 0, root=tmp_path)
        Image.new("RGB", (40, 44), (1, 2, 3)).save(photos / "cat/00.png")
        second = load_data(str(photos), 32, 0, root=tmp_path)
        assert not torch.equal(first.images([0]), second.images([0]))

    @pytest.mark.parametrize("suffix", [".npy", ".json"])
    @pytest.mark.parametrize(
        "damage", [lambda raw: raw[:-4], lambda raw: b"", lambda raw: raw[:-5] + b"\0abc\0"]
    )
    def test_a_damaged_cache_is_replaced(
        self, photos: Path, tmp_path: Path, suffix: str, damage: Callable[[bytes], bytes]
    ) -> None:
        first = load_data(str(photos), 32, 0, root=tmp_path)
        (file,) = (tmp_path / "cache/data").glob(f"*{suffix}")
        good = file.read_bytes()
        file.write_bytes(damage(good))
        said: list[str] = []
        second = load_data(str(photos), 32, 0, root=tmp_path, log=said.append)
        assert "is damaged" in said[0] and "decoding again" in said[0]
        assert torch.equal(first.images(range(30)), second.images(range(30)))
        assert file.read_bytes() == good

    def test_the_cached_array_cannot_be_changed_by_a_run(self, photos: Path, tmp_path: Path) -> None:
        source = open_folder(photos)
        cache = ImageCache(tmp_path / "cache", silent)
        cache.decode(source, 32, in_memory=True)
        (file,) = (tmp_path / "cache").glob("*.npy")
        before = file.read_bytes()
        again = cache.decode(source, 32, in_memory=True).pixels
        assert again is not None
        again[:] = 0
        assert file.read_bytes() == before

    def test_an_unwritable_cache_only_costs_time(self, photos: Path, tmp_path: Path) -> None:
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "cache").write_text("in the way")
        said: list[str] = []
        data = load_data(str(photos), 32, 0, root=tmp_path / "home", log=said.append)
        assert "cannot be written" in said[1]
        assert data.images([0]).shape == (1, 3, 32, 32)

    def test_old_arrays_are_removed(self, photos: Path, tmp_path: Path) -> None:
        for size in range(16, 32):
            load_data(str(photos), size, 0, root=tmp_path)
        left = sorted(file.suffix for file in (tmp_path / "cache/data").iterdir())
        assert left == [".json"] * 6 + [".npy"] * 6


class TestOnDemand:
    def test_images_are_the_same_as_in_memory(self, photos: Path, tmp_path: Path) -> None:
        memory = load_data(str(photos), 32, 0, root=tmp_path)
        demand = load_data(str(photos), 32, 0, root=tmp_path / "b", memory_cap_mb=0.01)
        assert "decoded on demand" in demand.notes[-1]
        assert list((tmp_path / "b").rglob("*.npy")) == []
        assert torch.equal(memory.images([3, 1, 29]), demand.images([3, 1, 29]))
        assert parts(memory) == parts(demand)
        assert (memory.mean, memory.std) == (demand.mean, demand.std)
        assert "images are decoded on demand" in demand.notes[-1]

    def test_statistics_come_from_a_sample(
        self, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(channel_statistics, "STATISTICS_SAMPLES", 5)
        data = load_data(str(photos), 32, 0, root=tmp_path, memory_cap_mb=0.01)
        assert data.mean == pytest.approx((0.5, 0.5, 0.5), abs=0.02)  # uniform noise

    def test_copies_are_found_by_their_bytes(self, write_images, named, tmp_path: Path) -> None:
        folder = write_images(named(CLASSES, 8, "train/") + named(CLASSES, 2, "test/"))
        (folder / "train/cat/copy.png").write_bytes((folder / "test/cat/00.png").read_bytes())
        data = load_data(str(folder), 16, 0, root=tmp_path, memory_cap_mb=0)
        assert data.splits_json()["dropped"] == ["train/cat/copy.png"]

    def test_a_broken_image_is_named_before_the_run(self, photos: Path, tmp_path: Path) -> None:
        (photos / "cat/03.png").write_bytes(b"broken")
        with pytest.raises(DamagedFileError, match=r"cat/03\.png"):
            load_data(str(photos), 16, 0, root=tmp_path, memory_cap_mb=0)


class TestResume:
    def test_a_stored_split_comes_back_whatever_the_seed(self, photos: Path, tmp_path: Path) -> None:
        first = load_data(str(photos), None, 0, root=tmp_path)
        document = json.loads(json.dumps(first.splits_json(), allow_nan=False))
        again = load_data(str(photos), None, 99, root=tmp_path, splits=document)
        assert parts(again) == parts(first)
        assert again.splits_json() == document
        assert (again.image_size, again.mean, again.std) == (first.image_size, first.mean, first.std)

    def test_a_limited_set_comes_back(self, photos: Path, tmp_path: Path) -> None:
        first = load_data(str(photos), 16, 5, root=tmp_path, limit=18)
        again = load_data(str(photos), None, 5, root=tmp_path, splits=first.splits_json())
        assert again.splits_json() == first.splits_json()
        assert torch.equal(first.images(range(18)), again.images(range(18)))

    def test_another_image_size_is_refused(self, photos: Path, tmp_path: Path) -> None:
        document = load_data(str(photos), 16, 0, root=tmp_path).splits_json()
        with pytest.raises(UsageError, match="image size 32, the run began with 16"):
            load_data(str(photos), 32, 0, root=tmp_path, splits=document)

    @pytest.mark.parametrize("change", ["add", "remove", "move"])
    def test_changed_files_are_refused(self, photos: Path, tmp_path: Path, change: str) -> None:
        document = load_data(str(photos), 16, 0, root=tmp_path).splits_json()
        file = photos / "cat/00.png"
        if change == "add":
            (photos / "cat/new.png").write_bytes(file.read_bytes())
        elif change == "remove":
            file.unlink()
        else:
            file.rename(photos / "dog/99.png")
        with pytest.raises(DamagedFileError, match="photos changed since the run began"):
            load_data(str(photos), None, 0, root=tmp_path, splits=document)

    def test_a_split_without_its_size_is_damage(self, photos: Path, tmp_path: Path) -> None:
        document = load_data(str(photos), 16, 0, root=tmp_path).splits_json()
        del document["image_size"]
        with pytest.raises(DamagedFileError, match="image_size or limit is missing"):
            load_data(str(photos), None, 0, root=tmp_path, splits=document)


class TestLimit:
    def test_every_class_and_split_shrinks_alike(self, write_images, named, tmp_path: Path) -> None:
        folder = write_images(named(CLASSES, 10, "train/") + named(CLASSES, 5, "test/"))
        data = load_data(str(folder), 16, 0, root=tmp_path, limit=30)
        # By hand: 10 * 30 / 45 = 6.7 of each class in train, 5 * 30 / 45 = 3.3 in test.
        assert np.bincount(data.labels[data.split("test")]).tolist() == [3, 3, 3]
        assert np.bincount(data.labels).tolist() == [9, 9, 9]
        assert data.notes == ("limited to 27 of 45 images",)

    def test_a_limit_above_the_number_of_images_changes_nothing(self, photos: Path, tmp_path: Path) -> None:
        assert load_data(str(photos), 16, 0, root=tmp_path, limit=99).notes == ()

    def test_a_limit_that_loses_a_class_is_told(self, photos: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="a limit of 2 images leaves a class without any; raise it"):
            load_data(str(photos), 16, 0, root=tmp_path, limit=2)


class TestBadInput:
    @pytest.mark.parametrize("size", [0, -32, 15, 225, 10**9])
    def test_sizes_out_of_range(self, tmp_path: Path, size: int) -> None:
        with pytest.raises(UsageError, match=f"image size {size}; allowed: 16 to 224 px"):
            load_data("digits", size, 0, root=tmp_path)

    def test_negative_seed_and_empty_limit(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="seed -1; allowed: 0 or more"):
            load_data("digits", 32, -1, root=tmp_path)
        with pytest.raises(UsageError, match="limit of 0 images; allowed: 1 or more"):
            load_data("digits", 32, 0, root=tmp_path, limit=0)

    def test_a_misspelt_name_is_corrected(self, tmp_path: Path) -> None:
        with pytest.raises(
            UsageError, match=r"known: calls, cifar10, .* \(did you mean 'digits'\?\); or give the path"
        ):
            load_data("digit", None, 0, root=tmp_path)

    def test_a_missing_path(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="neither a known data set nor an existing path"):
            load_data(str(tmp_path / "nowhere"), None, 0, root=tmp_path)

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        (tmp_path / "photos").mkdir()
        with pytest.raises(UsageError, match=r"photos: is empty; expected <class>/\*.jpg"):
            load_data(str(tmp_path / "photos"), None, 0, root=tmp_path)

    def test_images_without_labels(self, write_images, tmp_path: Path) -> None:
        folder = write_images(["1.png", "2.png"])
        with pytest.raises(UsageError, match="have no labels"):
            load_data(str(folder), None, 0, root=tmp_path)

    def test_one_class_only(self, write_images, named, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"at least 2 classes are needed, found 1 \(cat\)"):
            load_data(str(write_images(named(["cat"], 5))), None, 0, root=tmp_path)

    def test_a_class_that_only_tests(self, write_images, named, tmp_path: Path) -> None:
        folder = write_images(named(CLASSES, 4, "train/") + named(["owl", "emu"], 2, "test/"))
        with pytest.raises(UsageError, match="no training image for class emu"):
            load_data(str(folder), None, 0, root=tmp_path)

    def test_two_images_of_a_class(self, write_images, named, tmp_path: Path) -> None:
        folder = write_images([*named(["cat"], 5), *named(["dog"], 2)])
        with pytest.raises(UsageError, match="'dog' has 2 different training images, at least 3"):
            load_data(str(folder), 16, 0, root=tmp_path)

    @pytest.mark.parametrize("content", [b"", b"no image at all"])
    def test_broken_images_are_all_named(self, photos: Path, tmp_path: Path, content: bytes) -> None:
        for name in ("cat/03.png", "owl/07.png"):
            (photos / name).write_bytes(content)
        with pytest.raises(DamagedFileError) as caught:
            load_data(str(photos), 16, 0, root=tmp_path)
        lines = str(caught.value).split("\n")
        assert lines[0] == "2 images are broken; --skip-broken leaves them out:"
        assert "cat/03.png" in lines[1] and "owl/07.png" in lines[2]
        assert "replace or remove it" in lines[1]

    def test_a_truncated_image_is_named(self, photos: Path, tmp_path: Path) -> None:
        file = photos / "dog/05.png"
        file.write_bytes(file.read_bytes()[:-200])
        with pytest.raises(DamagedFileError, match=r"dog/05\.png: cannot be read as an image"):
            load_data(str(photos), 16, 0, root=tmp_path)

    def test_of_many_broken_images_20_are_named(self, photos: Path, tmp_path: Path) -> None:
        for file in photos.rglob("*[1-9].png"):
            file.write_bytes(b"x")
        with pytest.raises(DamagedFileError, match=r"(?s)27 images are broken.*and 7 more") as caught:
            load_data(str(photos), 16, 0, root=tmp_path)
        assert str(caught.value).count("cannot be read as") == 20

    def test_a_class_of_broken_images_is_no_class(self, photos: Path, tmp_path: Path) -> None:
        for file in photos.glob("cat/*.png"):
            file.write_bytes(b"x")
        with pytest.raises(DamagedFileError, match=r"(?s)10 images are .*no training image for class cat"):
            load_data(str(photos), 16, 0, root=tmp_path, skip_broken=True)

    @pytest.mark.parametrize("memory_cap_mb", [0, 2000])
    def test_where_no_image_can_be_read_nothing_is_left_to_skip(
        self, photos: Path, tmp_path: Path, memory_cap_mb: float
    ) -> None:
        for file in photos.rglob("*.png"):
            file.write_bytes(b"x")
        with pytest.raises(DamagedFileError, match="none of the 30 images of photos can be read"):
            load_data(str(photos), 16, 0, root=tmp_path, skip_broken=True, memory_cap_mb=memory_cap_mb)

    @pytest.mark.parametrize("name", ["a.zip", "a.npz"])
    def test_a_zip_of_an_unknown_version(self, name: str, tmp_path: Path) -> None:
        path = tmp_path / name
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("cat/1.png", b"x")
        raw = bytearray(path.read_bytes())
        raw[raw.index(b"PK\x01\x02") + 6] = 128  # "version needed to extract": 12.8 (APPNOTE 4.3.12)
        path.write_bytes(raw)
        with pytest.raises(DamagedFileError, match=r"zip file version 12\.8"):
            load_data(str(path), None, 0, root=tmp_path)

    def test_a_file_that_is_no_container(self, tmp_path: Path) -> None:
        (tmp_path / "a.zip").write_bytes(b"no zip")
        (tmp_path / "a.rar").write_bytes(b"x")
        with pytest.raises(DamagedFileError, match=r"a\.zip: is damaged or no zip archive"):
            load_data(str(tmp_path / "a.zip"), None, 0, root=tmp_path)
        with pytest.raises(UsageError, match=r"a\.rar is neither a folder nor a \.zip"):
            load_data(str(tmp_path / "a.rar"), None, 0, root=tmp_path)

    def test_odd_names_stay_text(self, write_images, named, tmp_path: Path) -> None:
        folder = write_images(named(["<script>", "ünïcode 漢字", "a'b\"c"], 4))
        data = load_data(str(folder), 16, 0, root=tmp_path)
        assert set(data.class_names) == {"<script>", "ünïcode 漢字", "a'b\"c"}
        json.dumps(data.splits_json())

    def test_errors_carry_the_exit_code(self) -> None:
        assert (UsageError.exit_code, DamagedFileError.exit_code) == (2, 3)
        assert issubclass(UsageError, HwnasError)
