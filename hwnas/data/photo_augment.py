"""Random changes of photos by torchvision's transforms, image by image, drawn from the seed of the batch.

They draw from torch's global generator, which is set for each batch and afterwards as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .augment import Augment
from .boxes import moved as moved_boxes

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class PhotoAugment:
    """`Augment`, and what torchvision offers besides.

    base: what whole batches go through; with a crop it does not shift. Its cutout is last.
    auto: `none`, `trivial` (Mueller and Hutter 2021) or `rand` (Cubuk et al. 2019: 2 operations, strength 9).
    crop: smallest share of the area that a random resized crop shows; 0: none.
    colour: how far brightness, contrast and saturation go (0.4: 0.6 to 1.4 times), hue a quarter of it.
    """

    base: Augment
    auto: str = "none"
    crop: float = 0.0
    colour: float = 0.0

    def apply(self, x: torch.Tensor, rng: np.random.Generator, planes: int = 0) -> torch.Tensor:
        """x: (b, c, s, s) uint8; returns the changed batch, uint8 or float, in 0..255.

        planes: the last channels that are labels: they are moved as the others are, and keep their values.
        """
        import torch

        base = replace(self.base, cutout=0.0, shift=0.0 if self.crop else self.base.shift)
        moved = base.apply(x, rng, planes).round().to(torch.uint8)
        change = _transform(self.auto, self.crop, self.colour, x.shape[-1])
        with seeded(rng):
            moved = torch.stack([_changed(change, image, planes) for image in moved])
        return Augment(shift=0.0, cutout=self.base.cutout).apply(moved, rng, planes)

    def moved(
        self, x: torch.Tensor, boxes: npt.NDArray[np.float32], rng: np.random.Generator
    ) -> tuple[torch.Tensor, npt.NDArray[np.float32]]:
        """The changed batch with its boxes (b, m, 6); random operations, of which nobody knows how they move
        boxes, are not for them.
        """
        import torch

        base = replace(self.base, cutout=0.0, shift=0.0 if self.crop else self.base.shift)
        x, boxes = base.moved(x, boxes, rng)
        x = x.round().to(torch.uint8)
        with seeded(rng):
            if self.crop:
                x, boxes = _cropped(x, boxes, self.crop)
            if self.colour:
                change = _transform("none", 0.0, self.colour, x.shape[-1])
                x = torch.stack([change(image) for image in x])
        return Augment(shift=0.0, cutout=self.base.cutout).apply(x, rng), boxes


@contextmanager
def seeded(rng: np.random.Generator) -> Iterator[None]:
    """Torch's global generator of the CPU, set from `rng`; afterwards as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**63)))
        yield


def _changed(change: Any, image: torch.Tensor, planes: int) -> torch.Tensor:
    """(c, s, s), changed; labels as torchvision changes masks: by the nearest pixel, and never in colour."""
    import torch

    if not planes:
        changed: torch.Tensor = change(image)
        return changed
    from torchvision import tv_tensors

    shown, labels = change(tv_tensors.Image(image[:-planes]), tv_tensors.Mask(image[-planes:]))
    return torch.cat([shown.as_subclass(torch.Tensor), labels.as_subclass(torch.Tensor)])


def _cropped(
    x: torch.Tensor, boxes: npt.NDArray[np.float32], share: float
) -> tuple[torch.Tensor, npt.NDArray[np.float32]]:
    """A random resized crop of each image, which shows at least that share, with what it shows of boxes."""
    import torch
    from torchvision.transforms import v2

    size = x.shape[-1]
    crop = v2.RandomResizedCrop(size, scale=(share, 1.0), antialias=True)
    images, matrices, shifts = [], [], []
    for image in x:
        drawn = crop.make_params([image])
        images.append(crop.transform(image, drawn))
        sides = np.array([drawn["width"], drawn["height"]]) / size
        corner = np.array([drawn["left"], drawn["top"]]) / size
        matrices.append(np.diag(sides))
        shifts.append(2 * corner + sides - 1)  # the centre of the crop, from -1 to 1
    return torch.stack(images), moved_boxes(boxes, np.stack(matrices), np.stack(shifts))


@cache
def _transform(auto: str, crop: float, colour: float, size: int) -> Any:
    from torchvision.transforms import v2

    changes: list[Any] = []
    if crop:
        changes.append(v2.RandomResizedCrop(size, scale=(crop, 1.0), antialias=True))
    if auto != "none":
        changes.append({"trivial": v2.TrivialAugmentWide, "rand": v2.RandAugment}[auto]())
    if colour:
        changes.append(v2.ColorJitter(colour, colour, colour, colour / 4))
    return v2.Compose(changes)
