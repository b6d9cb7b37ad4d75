"""`scenes` keeps the contract, shares no digit between splits, and is the same on every machine."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from sklearn.datasets import load_digits

from hwnas.data import Augment, load_data
from hwnas.data.scenes import SCENES_PER_DIGIT, Scenes, open_scenes
from hwnas.data.scenes_drawing import SIDE_PX, DigitPlaces, Draws, warp
from hwnas.data.source import SPLITS, DataRequest
from tests.support.sources import SourceContract


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    source = open_scenes(DataRequest("scenes", Path()))
    assert isinstance(source, Scenes)
    return source


class TestScenes(SourceContract):
    @pytest.fixture
    def source(self, scenes: Scenes) -> Scenes:
        return scenes

    def test_are_the_same_bytes_on_every_machine(self, scenes: Scenes) -> None:
        """When this changes, so must `_CONTENT`: pixels of before lie in caches."""
        pixels = np.stack([scenes.read(index, SIDE_PX) for index in range(len(scenes.digits))])
        digest = sha256(pixels.transpose(0, 2, 3, 1).tobytes()).hexdigest()
        assert scenes.listing.content == "scenes 1"
        assert digest == "a4687b7c88041f2345caed81edba523e175281c26daaaf38c3f4ba9f72bb40d0"

    def test_every_digit_is_shown_and_carries_its_label(self, scenes: Scenes) -> None:
        labels = load_digits().target
        assert np.bincount(scenes.digits).tolist() == [SCENES_PER_DIGIT] * 1797
        assert (scenes.listing.labels == labels[scenes.digits]).all()

    def test_no_digit_is_in_two_splits_not_even_a_fragment(self, scenes: Scenes) -> None:
        strokes = [stroke.tobytes() for stroke in scenes.strokes]
        seen = []
        for split in range(len(SPLITS)):
            inside = scenes.listing.given == split
            seen.append({strokes[d] for d in (*scenes.digits[inside], *scenes.lent()[inside].ravel())})
        assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])

    def test_a_fifth_of_each_class_tests_and_a_fifth_validates(self, scenes: Scenes) -> None:
        sizes = np.bincount(load_digits().target)
        for split in (1, 2):
            labels = scenes.listing.labels[scenes.listing.given == split]
            assert (np.bincount(labels) == SCENES_PER_DIGIT * (sizes // 5)).all()

    def test_the_split_is_that_of_the_source_whatever_the_seed(self, tmp_path: Path) -> None:
        one, other = (load_data("scenes", None, seed, root=tmp_path) for seed in (0, 1))
        for split in SPLITS:
            assert (one.split(split) == other.split(split)).all()
        assert one.images([0, 5]).shape == (2, 3, 32, 32)
        assert Augment.for_data(one) == Augment(shift=0.125, flip=False)  # not centred, never mirrored


def test_a_digit_is_warped_as_scipy_does_it() -> None:
    """Oracle: scipy.ndimage.map_coordinates, bilinear, in floating point."""
    stroke = load_digits().images[8]
    t, side_px, centre_y, centre_x = 3, 22, 14.25, 17.5
    angle = 2 * np.arctan(t / 64)
    down, right = np.mgrid[:SIDE_PX, :SIDE_PX] + 0.5
    down, right = down - centre_y, right - centre_x
    cell = side_px / 8
    y = (np.cos(angle) * down + np.sin(angle) * right) / cell + 4.5  # the digit has a blank border
    x = (np.cos(angle) * right - np.sin(angle) * down) / cell + 4.5
    level = map_coordinates(np.pad(stroke, 1) / 16, [y, x], order=1)
    expected = np.clip(1.5 * (level - 0.25), 0, 1)

    def array(value: float) -> np.ndarray:
        return np.array([round(value * 4096)], np.int32)

    places = DigitPlaces(
        centre_y=array(centre_y), centre_x=array(centre_x), cell=array(cell), tangent=np.array([t], np.int32)
    )
    drawn = warp(stroke.astype(np.int32)[None], places)[0] / 4096
    assert np.abs(drawn - expected).max() < 0.02


def test_draws_are_uniform_and_repeat() -> None:
    numbers = Draws(1, 2).below(10, 20_000)
    assert (numbers == Draws(1, 2).below(10, 20_000)).all()
    assert (numbers != Draws(1, 3).below(10, 20_000)).any()
    # The standard deviation of a count is sqrt(20,000 × 0.1 × 0.9) = 42.
    assert np.abs(np.bincount(numbers, minlength=10) - 2000).max() < 5 * 42
