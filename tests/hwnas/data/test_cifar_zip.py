"""The CIFAR-10 archive of 60,000 JPEGs, where it is at hand; a part of it keeps the test short."""

import zipfile
from pathlib import Path

import pytest

from hwnas.data import load_data

ARCHIVE = Path(__file__).parents[4] / "shared" / "data" / "cifar10.zip"
pytestmark = pytest.mark.skipif(
    not ARCHIVE.exists(), reason="shared/data/cifar10.zip is not beside the repository"
)


def test_a_part_of_the_archive_loads_with_its_test_split(tmp_path: Path) -> None:
    part = tmp_path / "part.zip"
    with zipfile.ZipFile(ARCHIVE) as whole, zipfile.ZipFile(part, "w") as archive:
        for member in whole.infolist():
            if member.filename.endswith(("00.jpg", "50.jpg")):  # 2 of 100
                archive.writestr(member, whole.read(member))
    data = load_data(str(part), None, 0, root=tmp_path)
    # 10 classes with 100 training and 20 test images each; 15 % of the former validate.
    assert [len(data.split(name)) for name in ("train", "val", "test")] == [850, 150, 200]
    assert data.class_names[:3] == ("airplane", "automobile", "bird")
    assert (data.image_size, data.in_channels, data.flip) == (32, 3, True)
    # Krizhevsky's 50,000 images have mean (0.491, 0.482, 0.447) and std (0.247, 0.243, 0.262).
    assert data.mean == pytest.approx((0.491, 0.482, 0.447), abs=0.02)
    assert data.std == pytest.approx((0.247, 0.243, 0.262), abs=0.02)
