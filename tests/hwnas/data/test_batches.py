"""Batches: a function of the step, every sample once per epoch, normalised, channels last."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hwnas.data import Augment, Batches, Data, eval_batches, load_data
from hwnas.data.batches import EvalBatches
from targets.errors import UsageError


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return load_data("digits", 32, 0, root=tmp_path_factory.mktemp("home"))


AUGMENT = Augment(flip=True, rotate_degrees=5, cutout=0.2)


def test_a_step_gives_the_same_batch_in_any_order(digits: Data) -> None:
    forward = Batches(digits, "train", 64, 7, AUGMENT)
    seen = [forward.at(step) for step in range(40)]
    resumed = Batches(digits, "train", 64, 7, AUGMENT)
    for step in (39, 17, 0, 16):
        x, y = resumed.at(step)
        assert torch.equal(x, seen[step][0])
        assert torch.equal(y, seen[step][1])


def test_an_epoch_holds_every_sample_once(digits: Data) -> None:
    batches = Batches(digits, "val", 60, 0)
    n = len(digits.split("val"))
    assert batches.steps_per_epoch == n // 60
    whole = Batches(digits, "val", n, 0)
    assert whole.steps_per_epoch == 1
    first, second = whole.at(0)[1], whole.at(1)[1]
    expected = np.sort(digits.labels[digits.split("val")])
    assert (np.sort(first.numpy()) == expected).all()
    assert (np.sort(second.numpy()) == expected).all()
    assert not torch.equal(first, second)  # another order


def test_seed_split_and_epoch_give_other_batches(digits: Data) -> None:
    first = Batches(digits, "train", 64, 0).at(0)[0]
    epoch = Batches(digits, "train", 64, 0).steps_per_epoch
    assert not torch.equal(first, Batches(digits, "train", 64, 1).at(0)[0])
    assert not torch.equal(first, Batches(digits, "val", 64, 0).at(0)[0])
    assert not torch.equal(first, Batches(digits, "train", 64, 0).at(epoch)[0])


def test_x_is_normalised_float_in_channels_last(digits: Data) -> None:
    x, y = Batches(digits, "train", len(digits.split("train")), 0).at(0)
    assert x.dtype == torch.float32 and y.dtype == torch.int64
    assert x.mean().item() == pytest.approx(0, abs=1e-5)
    assert x.std(correction=0).item() == pytest.approx(1, abs=1e-5)


def test_colour_batches_are_channels_last(write_images, named, tmp_path: Path) -> None:
    data = load_data(str(write_images(named(["cat", "dog"], 10))), 16, 0, root=tmp_path)
    for augment in (None, Augment.for_data(data), AUGMENT):
        x, _ = Batches(data, "train", 8, 0, augment).at(0)
        assert x.shape == (8, 3, 16, 16)
        assert x.is_contiguous(memory_format=torch.channels_last)
    images = data.images(data.split("train")).double() / 255
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (data.mean, data.std))
    (x, y), *_ = eval_batches(data, "train", 100)
    assert torch.allclose(x.double(), (images - mean) / std, atol=1e-5)
    assert y.tolist() == data.labels[data.split("train")].tolist()


def test_data_is_never_changed_by_a_batch(digits: Data) -> None:
    before = digits.images(range(50)).clone()
    batches = Batches(digits, "train", 64, 0, Augment(flip=True, cutout=0.5))
    for step in range(20):
        batches.at(step)[0].zero_()
    assert torch.equal(digits.images(range(50)), before)


def test_a_split_smaller_than_the_batch_is_one_batch(digits: Data) -> None:
    batches = Batches(digits, "val", 10_000, 0)
    assert (batches.batch_size, batches.steps_per_epoch) == (len(digits.split("val")), 1)


def test_an_empty_batch_is_refused(digits: Data) -> None:
    with pytest.raises(UsageError, match="batch size 0; allowed: 1 or more"):
        Batches(digits, "train", 0, 0)


def test_eval_batches_cover_the_split_in_order(digits: Data) -> None:
    labels = torch.cat([y for _, y in eval_batches(digits, "test", 100)])
    assert labels.tolist() == digits.labels[digits.split("test")].tolist()


def test_a_limited_evaluation_spreads_over_the_split(write_images, named, tmp_path: Path) -> None:
    data = load_data(str(write_images(named(["a", "b", "c", "d"], 20))), 16, 0, root=tmp_path)
    labels = torch.cat([y for _, y in eval_batches(data, "val", 3, limit=8)])
    assert labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_kept_batches_are_those_of_the_split_every_time(digits: Data) -> None:
    kept = EvalBatches(digits, "val", 30, 100)
    assert len(kept) == 4
    for _ in range(2):
        for (x, y), (own_x, own_y) in zip(eval_batches(digits, "val", 30, 100), kept, strict=True):
            assert torch.equal(x, own_x) and torch.equal(y, own_y)


def test_no_global_random_state_is_read_or_changed(digits: Data) -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].copy()
    first = Batches(digits, "train", 64, 0, AUGMENT).at(3)[0]
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state(legacy=False)["state"]["key"] == before[1]).all()
    torch.manual_seed(1)
    assert torch.equal(first, Batches(digits, "train", 64, 0, AUGMENT).at(3)[0])
