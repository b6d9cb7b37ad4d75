"""The named sets, from small files in their real formats on disk; nothing is downloaded."""

import hashlib
import pickle
import urllib.error
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets
from torchvision.datasets import utils

from hwnas.data import load_data
from hwnas.data.source import NAMED, DataRequest, DataSource
from targets.errors import DamagedFileError, UsageError
from tests.support.sources import SourceContract

FOLDERS = {
    "cifar10": "cifar-10-batches-py",
    "cifar100": "cifar-100-python",
    "mnist": "MNIST/raw",
    "fashion-mnist": "FashionMNIST/raw",
}
"""Where the files of a set lie below `datasets`."""


def write_cifar10(root: Path, monkeypatch: pytest.MonkeyPatch, n: int = 20) -> np.ndarray:
    """Five training batches and a test batch of n rows each: 3072 bytes, red plane first (the CIFAR page)."""
    folder = root / "datasets" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 256, (6, n, 3072), dtype=np.uint8)
    files = {}
    for part, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]):
        content = pickle.dumps({"data": rows[part], "labels": [index % 10 for index in range(n)]})
        (folder / name).write_bytes(content)
        files[name] = hashlib.md5(content).hexdigest()
    names = pickle.dumps({"label_names": [f"class{k}" for k in range(10)]})
    (folder / "batches.meta").write_bytes(names)
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [list(item) for item in files.items()][:5])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [list(item) for item in files.items()][5:])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": hashlib.md5(names).hexdigest()}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    return rows


def write_mnist(root: Path, name: str = "MNIST", n: int = 30) -> np.ndarray:
    """The four idx files: magic number, sizes big-endian, bytes (the MNIST page)."""
    folder = root / "datasets" / name / "raw"
    folder.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (2, n, 28, 28), dtype=np.uint8)
    labels = (np.arange(n) % 10).astype(np.uint8)
    for part, split in enumerate(("train", "t10k")):
        head = np.array([0x803, n, 28, 28], ">i4").tobytes()
        (folder / f"{split}-images-idx3-ubyte").write_bytes(head + images[part].tobytes())
        head = np.array([0x801, n], ">i4").tobytes()
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())
    return images


class TestCifar10(SourceContract):
    @pytest.fixture
    def rows(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
        return write_cifar10(tmp_path, monkeypatch)

    @pytest.fixture
    def source(self, tmp_path: Path, rows: np.ndarray) -> DataSource:
        return NAMED["cifar10"](DataRequest("cifar10", tmp_path))

    def test_pixels_labels_and_splits_are_those_of_the_files(
        self, source: DataSource, rows: np.ndarray
    ) -> None:
        assert len(source.listing.names) == 120
        assert (source.read(23, 32) == rows[1, 3].reshape(3, 32, 32)).all()
        assert source.listing.labels[23] == 3
        assert source.listing.given.tolist() == [0] * 100 + [2] * 20
        assert source.listing.class_names[9] == "class9"
        assert source.listing.flip and source.natural_size() == 32


class TestMnist(SourceContract):
    @pytest.fixture
    def images(self, tmp_path: Path) -> np.ndarray:
        return write_mnist(tmp_path)

    @pytest.fixture
    def source(self, tmp_path: Path, images: np.ndarray) -> DataSource:
        return NAMED["mnist"](DataRequest("mnist", tmp_path))

    def test_pixels_labels_and_splits_are_those_of_the_files(
        self, source: DataSource, images: np.ndarray
    ) -> None:
        assert (source.read(31, 28) == images[1, 1]).all()
        assert source.listing.labels[31] == 1
        assert source.listing.in_channels == 1
        assert not source.listing.flip
        assert source.natural_size() == 32


def test_fashion_mnist_loads_through_load_data(tmp_path: Path) -> None:
    write_mnist(tmp_path, "FashionMNIST", n=40)
    data = load_data("fashion-mnist", None, 0, root=tmp_path)
    assert (data.image_size, data.in_channels, data.n_classes, data.flip) == (32, 1, 10, True)
    assert len(data.split("test")) == 40  # the test split of the files is kept


@pytest.mark.parametrize("name", FOLDERS)
def test_an_absent_set_says_where_it_belongs(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no download was asked for") as caught:
        load_data(name, None, 0, root=tmp_path)
    assert str(tmp_path / "datasets") in str(caught.value)
    assert f"{FOLDERS[name]}/ (" in str(caught.value)


@pytest.mark.parametrize("name", ["cifar10", "mnist"])
def test_a_dead_network_says_where_to_put_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def dead(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(utils, "_urlretrieve", dead)
    with pytest.raises(UsageError, match="the download failed") as caught:
        load_data(name, None, 0, root=tmp_path, download=True)
    assert str(tmp_path / "datasets") in str(caught.value)


@pytest.mark.parametrize("kept", [0, 3, 10, 17, 1000])
def test_a_truncated_file_is_damage(tmp_path: Path, kept: int) -> None:
    write_mnist(tmp_path)
    file = tmp_path / "datasets" / "MNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(DamagedFileError, match="data mnist: the files are damaged"):
        load_data("mnist", None, 0, root=tmp_path)


def test_a_changed_cifar_file_is_not_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar10(tmp_path, monkeypatch)
    file = tmp_path / "datasets" / "cifar-10-batches-py" / "data_batch_1"
    file.write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(UsageError, match="corrupted"):
        load_data("cifar10", None, 0, root=tmp_path)


def test_nothing_is_said_on_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_mnist(tmp_path)
    load_data("mnist", None, 0, root=tmp_path, download=True)  # the files are there: no network
    assert capsys.readouterr().out == ""
