"""What a model of raw pixels needs of a data set, and what is known of it once it is fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from hwnas.tasks import LabelArray, Task


class ImageData(Protocol):
    """What the pixel models need of a data set."""

    @property
    def labels(self) -> LabelArray:
        """Class of every sample, (n,), or (n, k) numbers."""

    def split(self, name: str) -> NDArray[np.int64]:
        """Sample indices of 'train', 'val' or 'test'."""

    def images(self, indices: NDArray[np.int64]) -> torch.Tensor:
        """uint8 (b, c, h, w)."""


class TaskData(ImageData, Protocol):
    """The same with a task that scores."""

    @property
    def task(self) -> Task:
        """What the labels mean."""


@dataclass(frozen=True, slots=True)
class PixelModel:
    """A fitted model on raw pixels and what it scored.

    n_train: training images it was fitted to, of n_train_available.
    image_side_px: side of the images as it saw them.
    options: its hyperparameters, the penalty that was chosen.
    """

    name: str
    val_accuracy: float
    test_accuracy: float
    n_train: int
    n_train_available: int
    image_side_px: int
    options: dict[str, float]
