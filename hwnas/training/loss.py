"""What a step of a training minimises: the loss of the task, and the distance to a teacher's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hwnas.data.photo_augment import seeded

from .recipe import Recipe

if TYPE_CHECKING:
    from hwnas.data import Data

_MIXING = 0x3117
"""Sets the generator of mixed images apart from that of the batches."""


class Teacher(Protocol):
    """A trained network whose answers another one learns."""

    def __call__(self, x: Tensor) -> Tensor:
        """Logits (b, n_classes) of normalised images (b, c, h, w), without gradients."""


class TrainingLoss:
    """The loss of a recipe on some images.

    seed: of the mixing. teacher: None where there is none.
    """

    def __init__(self, recipe: Recipe, data: Data, seed: int, teacher: Teacher | None) -> None:
        self._recipe, self._seed, self._teacher = recipe, seed, teacher
        self._n_classes = len(data.class_names)
        weighted = recipe.balance == "weights"
        self.task = data.task.balanced(data.labels[data.split("train")]) if weighted else data.task

    def mixed(self, step: int, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """(images, targets): mixed images with probabilities (b, n_classes), or both as they are."""
        recipe = self._recipe
        if not (recipe.mixup or recipe.cutmix):
            return x, y
        from torchvision.transforms import v2

        rng = np.random.default_rng(np.random.SeedSequence([self._seed, _MIXING, step]))
        ways = [
            way(alpha=alpha, num_classes=self._n_classes)
            for way, alpha in ((v2.MixUp, recipe.mixup), (v2.CutMix, recipe.cutmix))
            if alpha
        ]
        way = ways[int(rng.integers(len(ways)))]
        with seeded(rng):
            images, targets = way(x, y)
        return images.contiguous(memory_format=torch.channels_last), targets

    def taught(self, x: Tensor) -> Tensor | None:
        """The answers of the teacher to what the network sees, x (b, c, h, w); None where it is not asked."""
        return None if self._teacher is None or not self._recipe.distil else self._teacher(x)

    def __call__(self, logits: Tensor, targets: Tensor, taught: Tensor | None = None) -> Tensor:
        """targets: labels (b,) or probabilities (b, n_classes). taught: the answers of the teacher."""
        recipe, loss = self._recipe, self.of_targets(logits, targets)
        if taught is None:
            return loss
        return (1 - recipe.distil) * loss + recipe.distil * distance(
            logits, taught.float(), recipe.temperature
        )

    def of_targets(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Without the teacher."""
        return self.task.loss(logits, targets, self._recipe.label_smoothing)


def distance(logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """T² times the Kullback-Leibler divergence of two softmaxes at temperature T, mean of the images.

    Hinton et al. 2015, arXiv 1503.02531, section 2: T² keeps the size of the gradients.
    """
    log_student = F.log_softmax(logits / temperature, dim=1)
    log_teacher = F.log_softmax(taught / temperature, dim=1)
    return F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True) * temperature**2
