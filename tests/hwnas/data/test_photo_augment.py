"""Photos changed by torchvision, from the seed alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hwnas.data import Augment, Batches, Data, load_data
from hwnas.data.photo_augment import PhotoAugment, seeded


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("options", [{"auto": "trivial"}, {"auto": "rand"}, {"crop": 0.3}, {"colour": 0.5}])
def test_changes_come_from_the_seed_and_differ_between_images(
    channels: int, options: dict[str, float]
) -> None:
    picture = torch.from_numpy(rng(3).integers(0, 256, (channels, 24, 24)).astype(np.uint8))
    x = picture.expand(12, -1, -1, -1)
    augment = PhotoAugment(Augment(shift=0.0), **options)  # type: ignore[arg-type]
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    first = augment.apply(x, rng())
    assert torch.equal(torch.rand(1), expected)  # the global generator is as it was
    assert first.shape == x.shape and float(first.min()) >= 0 and float(first.max()) <= 255
    assert torch.equal(first, augment.apply(x, rng()))
    assert not torch.equal(first, augment.apply(x, rng(1)))
    assert len({image.numpy().tobytes() for image in first}) > 3


def test_an_image_is_changed_as_torchvision_changes_it() -> None:
    from torchvision.transforms import v2

    x = torch.from_numpy(rng(3).integers(0, 256, (1, 3, 24, 24)).astype(np.uint8))
    changed = PhotoAugment(Augment(shift=0.0), crop=0.5).apply(x, rng())
    generator = rng()
    Augment(shift=0.0).apply(x, generator)  # draws before
    with seeded(generator):
        expected = v2.RandomResizedCrop(24, scale=(0.5, 1.0), antialias=True)(x[0])
    assert torch.equal(changed[0], expected)


def test_cutout_is_the_last_change() -> None:
    x = torch.from_numpy(rng(3).integers(0, 256, (4, 3, 24, 24)).astype(np.uint8))
    plain = PhotoAugment(Augment(shift=0.0), auto="trivial").apply(x, rng())
    holed = PhotoAugment(Augment(shift=0.0, cutout=0.5), auto="trivial").apply(x, rng())
    for before, after in zip(plain.float(), holed, strict=True):
        changed = before != after
        assert 30 <= int(changed[0].sum()) <= 144  # a quarter of the hole lies inside at least
        for channel in range(3):
            hole = after[channel][changed[channel]]
            assert torch.allclose(hole, before[channel].mean().expand_as(hole), atol=1e-3)


def test_a_balanced_epoch_has_as_many_images_of_each_class(tmp_path: Path) -> None:
    data: Data = load_data("digits", 16, 0, root=tmp_path, limit=400)
    labels = data.labels.copy()
    labels[labels > 2] = 0
    uneven = replace(data, labels=labels)
    batches = Batches(uneven, "train", 10, 0, balanced=True)
    seen = torch.cat([batches.at(step)[1] for step in range(batches.steps_per_epoch)])
    counts = torch.bincount(seen)
    assert len(counts) == 3 and counts.max() - counts.min() <= 11  # the last batch is left out
    again = Batches(uneven, "train", 10, 0, balanced=True)
    assert torch.equal(batches.at(3)[0], again.at(3)[0])
