"""The one training recipe: SGD with Nesterov momentum, a linear warm-up into a cosine, label smoothing.

Weight decay acts on the weights of convolutions and linear layers only (`train`). What cell networks are
trained with besides (cutout, drop-path, auxiliary head), and what wins longer trainings (`presets.strong`),
is part of it and off by default.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from targets.errors import UsageError

TRAINING_VERSION = 1
"""Raised when the loop, the augmentation or the weights at the start change: the same recipe then gives other
accuracies, and stored evaluations (`hwnas.evaluators`) are made anew."""


SHORT_STEPS, FINAL_STEPS = 300, 300
"""Steps below which networks cannot be told apart, and below which one is not trained to its end.

After 100 steps on `scenes` small networks lead, because large ones need longer: accuracy and MACs of 15
networks had a rank correlation of -0.34, and the front spanned 1.2 times in latency. That of the
accuracy in the search and the one after the final training was 0.15 with 200 steps of each and 0.93 with
300 and 400 (7 networks, one seed).
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train. 0 switches off whatever stands below `warmup_share` and is a number.

    epochs: passes over the train split.
    batch_size: images per step.
    lr: peak learning rate, reached after `warmup_share` of all steps.
    momentum: of SGD, Nesterov's.
    weight_decay: on the weights of convolutions and linear layers.
    label_smoothing: as torch's cross-entropy has it.
    warmup_share: share of the steps in which the learning rate rises.
    cutout: side of the hole, as a share of the image side.
    drop_path: probability in the last epoch; it rises from 0 on a line.
    auxiliary: weight of the loss of the second classifier.
    clip: largest norm of the gradient.
    decay: factor on the learning rate per epoch, instead of the cosine.
    schedule: `cosine`, or `one-cycle`: the rate rises on a cosine too, and the momentum falls with it.
    auto_augment: `none`, or random operations on photos: `trivial` (TrivialAugment), `rand` (RandAugment).
    crop: smallest share of the area of a photo that a random resized crop shows.
    colour: how far brightness, contrast and saturation of a photo may go; the hue goes a quarter as far.
    mixup, cutmix: alpha of the Beta distribution by which two images of a batch are mixed; with both, each
        batch is mixed in one of the two ways.
    balance: `none`, or for classes of unequal size: `weights` in the loss, `sampling` of equally many images.
    ema: decay of the moving average of the weights, which is what is scored and kept.
    patience: epochs without a better validation accuracy after which a training stops; it keeps the best.
    distil: share of the loss that is the distance to the answers of a teacher.
    temperature: by which logits are divided for that distance.
    residual_init: scale of the last norm of residual blocks at the start, `zero` or `one`; with `zero` they
        begin as their input.
    amp: `none`, or layers in 16 bits: `bf16`, or `fp16` with a scaled loss (`mixed_precision`).
    """

    epochs: int
    batch_size: int
    lr: float
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    warmup_share: float = 0.2
    cutout: float = 0.0
    drop_path: float = 0.0
    auxiliary: float = 0.0
    clip: float = 0.0
    decay: float = 0.0
    schedule: str = "cosine"
    auto_augment: str = "none"
    crop: float = 0.0
    colour: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    balance: str = "none"
    ema: float = 0.0
    patience: int = 0
    distil: float = 0.0
    temperature: float = 4.0
    residual_init: str = "zero"
    amp: str = "none"

    def __post_init__(self) -> None:
        for name, least, most in _BOUNDS:
            value = getattr(self, name)
            if not least <= value <= most:
                raise UsageError(f"recipe: {name} is {value!r}; allowed: {least} to {most}")
        for name, words in WORDS.items():
            if getattr(self, name) not in words:
                raise UsageError(f"recipe: {name} is {getattr(self, name)!r}; allowed: {', '.join(words)}")
        if self.decay and self.schedule != "cosine":
            raise UsageError("recipe: a decay per epoch and the schedule one-cycle exclude each other")

    @classmethod
    def for_data(cls, n_train: int, epochs: int | None = None) -> Recipe:
        """The default for that many training images.

        Few images need small batches, so that an epoch is steps enough, and forgive the rate. Means of
        validation accuracy over three random networks of `mobile`, one seed:

        | images | batch | steps | lr: accuracy |
        |---|---|---|---|
        | 360 photos, 48 px | 16 | 220 | 0.05: 1.000, 0.1: 1.000 |
        | 360 photos, 48 px | 32 | 110 | 0.03: 1.000, 0.1: 0.997, 0.2: 0.997, 0.5: 0.997 |
        | 1,079 digits, 16 px | 32 | 132 | 0.1: 0.978, 0.25: 0.979, 0.5: 0.978 |
        | 1,079 digits, 16 px | 64 | 112 | 0.25: 0.984, 0.5: 0.979 |

        Digits (mean of validation and test, three networks on three splits): 98.7 % after 8 epochs, 99.1 %
        after 10; lr 0.3: 0.1 points less; batches of 32: no better in 1.4 × the time. 8,500 images of
        CIFAR-10, 8 epochs, batches of 128: validation 52, 54, 51 % at lr 0.25, 0.5, 1 (standard error 1.3).
        """
        batch_size, lr = next((b, r) for most, b, r in _BY_IMAGES if n_train < most)
        base = cls(epochs=12 if n_train < 10_000 else 10, batch_size=batch_size, lr=lr)
        return base if epochs is None else replace(base, epochs=epochs)

    @classmethod
    def short(cls, n_train: int, epochs: int | None = None) -> Recipe:
        """A training that only has to tell networks apart: at least `SHORT_STEPS` steps unless told."""
        base = cls.for_data(n_train)
        return replace(base, epochs=epochs or base.epochs_of(SHORT_STEPS, n_train))

    @classmethod
    def going_on(cls, n_train: int, epochs: int | None = None) -> Recipe:
        """What follows a short training: at least `FINAL_STEPS` steps unless told."""
        base = cls.for_data(n_train)
        return replace(base, epochs=epochs or base.epochs_of(FINAL_STEPS, n_train), warmup_share=0.1)

    def steps_per_epoch(self, n_train: int) -> int:
        """Whole batches of so many images; at least one."""
        return max(1, n_train // self.batch_size)

    def epochs_of(self, steps: int, n_train: int) -> int:
        """The fewest epochs that make at least so many steps."""
        return math.ceil(steps / self.steps_per_epoch(n_train))

    @classmethod
    def evaluation(cls, epochs: int = 600, batch_size: int = 96) -> Recipe:
        """How the papers train a cell that was found (Liu et al. 2019, DARTS, appendix A.2).

        Two differences: the momentum is Nesterov's, and norms and biases are not decayed.
        """
        return cls(
            epochs=epochs,
            batch_size=batch_size,
            lr=0.025,
            weight_decay=3e-4,
            label_smoothing=0.0,
            warmup_share=0.0,
            cutout=0.5,
            drop_path=0.2,
            auxiliary=0.4,
            clip=5.0,
            residual_init="one",
        )

    @classmethod
    def evaluation_large(cls, epochs: int = 250, batch_size: int = 128) -> Recipe:
        """The same for ImageNet (appendix A.3): lr 0.1 times 0.97 per epoch, label smoothing, no drop-path.

        Those numbers are of the authors' code; the images are cropped and flipped as all others here.
        """
        return cls(
            epochs=epochs,
            batch_size=batch_size,
            lr=0.1,
            weight_decay=3e-5,
            label_smoothing=0.1,
            warmup_share=0.0,
            auxiliary=0.4,
            clip=5.0,
            residual_init="one",
            decay=0.97,
        )

    def drop_path_at(self, epoch: int) -> float:
        """Probability to drop a path in epoch `epoch`, counted from 0."""
        return self.drop_path * epoch / self.epochs

    def lr_at(self, step: int, total_steps: int) -> float:
        """Learning rate of step `step`, counted from 0: up on a line, down on a cosine or by decay."""
        if self.schedule == "one-cycle":
            return self._one_cycle(step, total_steps, self.lr / 25, self.lr, self.lr / 25e4)
        warm = max(1, round(self.warmup_share * total_steps))
        if step < warm:
            return self.lr * (step + 1) / warm
        if self.decay:
            return float(self.lr * self.decay ** (self.epochs * step // total_steps))
        return self.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total_steps - warm)))

    def momentum_at(self, step: int, total_steps: int) -> float:
        """Momentum of step `step`, counted from 0."""
        if self.schedule == "cosine":
            return self.momentum
        low = max(0.0, self.momentum - 0.1)
        return self._one_cycle(step, total_steps, self.momentum, low, self.momentum)

    def _one_cycle(self, step: int, total_steps: int, first: float, peak: float, last: float) -> float:
        """Two half cosines that meet at the peak: torch's `OneCycleLR` with its default factors.

        Smith and Topin 2017, arXiv 1708.07120.
        """
        top = self.warmup_share * total_steps - 1
        if step <= top:
            return peak + (first - peak) * 0.5 * (1 + math.cos(math.pi * step / max(top, 1e-9)))
        share = (step - top) / max(1e-9, total_steps - 1 - top)
        return last + (peak - last) * 0.5 * (1 + math.cos(math.pi * share))

    def to_json(self) -> dict[str, Any]:
        """`Recipe(**recipe.to_json())` is the recipe again."""
        return asdict(self)


_BY_IMAGES = ((10_000, 32, 0.2), (30_000, 64, 0.3), (math.inf, 128, 0.5))
"""Training images below which a batch size and a learning rate are the default."""

_BOUNDS: tuple[tuple[str, float, float], ...] = (
    ("epochs", 1, 100_000),
    ("batch_size", 2, 65_536),
    ("lr", 1e-8, 100.0),
    ("momentum", 0.0, 0.9999),
    ("weight_decay", 0.0, 1.0),
    ("label_smoothing", 0.0, 0.9),
    ("warmup_share", 0.0, 0.9),
    ("cutout", 0.0, 1.0),
    ("drop_path", 0.0, 0.9),
    ("auxiliary", 0.0, 10.0),
    ("clip", 0.0, 1e6),
    ("decay", 0.0, 1.0),
    ("crop", 0.0, 1.0),
    ("colour", 0.0, 1.0),
    ("mixup", 0.0, 10.0),
    ("cutmix", 0.0, 10.0),
    ("ema", 0.0, 0.99999),
    ("patience", 0, 100_000),
    ("distil", 0.0, 1.0),
    ("temperature", 0.1, 100.0),
)

WORDS: dict[str, tuple[str, ...]] = {
    "schedule": ("cosine", "one-cycle"),
    "auto_augment": ("none", "trivial", "rand"),
    "balance": ("none", "weights", "sampling"),
    "residual_init": ("zero", "one"),
    "amp": ("none", "bf16", "fp16"),
}
"""What a word of a recipe may be."""
