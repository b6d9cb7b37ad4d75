"""Every source keeps the contract; the named sets and containers hold what they should."""

from pathlib import Path

import numpy as np
import pytest

from hwnas.data import known_sources
from hwnas.data.digits import open_digits
from hwnas.data.folder import open_folder
from hwnas.data.source import NAMED, DataRequest, DataSource
from hwnas.data.table import open_table
from tests.support.sources import SourceContract


class TestDigits(SourceContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> DataSource:
        return open_digits(DataRequest("digits", tmp_path))

    def test_is_the_set_of_1797_digits(self, source: DataSource) -> None:
        # UCI optdigits test set: 1797 samples; per class as in the description that scikit-learn ships.
        counts = np.bincount(source.listing.labels).tolist()
        assert counts == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
        assert not source.listing.flip
        assert source.natural_size() == 32

    def test_enlarging_keeps_the_drawing(self, source: DataSource) -> None:
        from sklearn.datasets import load_digits

        small = load_digits().images[7] * 255 / 16
        large = source.read(7, 32)[0].astype(float)
        # Averaging 4 x 4 blocks undoes the enlargement up to its blur.
        assert np.corrcoef(large.reshape(8, 4, 8, 4).mean((1, 3)).ravel(), small.ravel())[0, 1] > 0.98


class TestFolder(SourceContract):
    @pytest.fixture
    def source(self, write_images, named) -> DataSource:
        return open_folder(write_images(named(["cat", "dog"], 3)))


class TestZip(SourceContract):
    @pytest.fixture
    def source(self, write_images, named, pack) -> DataSource:
        return open_folder(pack(write_images(named(["cat", "dog"], 3)), "photos/"))

    def test_holds_the_same_images_as_the_folder(self, source: DataSource, write_images, named) -> None:
        folder = open_folder(write_images(named(["cat", "dog"], 3)))
        assert source.listing.class_names == folder.listing.class_names
        assert (source.listing.labels == folder.listing.labels).all()
        for index in range(6):
            assert (source.read(index, 32) == folder.read(index, 32)).all()


class TestTable(SourceContract):
    @pytest.fixture
    def source(self, write_images, tmp_path: Path) -> DataSource:
        images = write_images([f"{index}.png" for index in range(6)])
        rows = "\n".join(f"{index}.png,{'odd' if index % 2 else 'even'}" for index in range(6))
        (tmp_path / "labels.csv").write_text(f"file,label\n{rows}\n")
        return open_table(tmp_path / "labels.csv", images)


def test_known_sources_are_those_of_the_documentation() -> None:
    assert known_sources() == (
        "calls", "cifar10", "cifar100", "digits", "fashion-mnist", "gauges", "gestures", "markov", "mnist",
        "scenes", "shape-boxes", "shape-masks", "shapes", "tilted",
    )  # fmt: skip
    assert set(NAMED) == set(known_sources())
