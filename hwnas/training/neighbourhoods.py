"""What networks that segment have to beat: a linear model of each pixel's neighbourhood.

scikit-learn's RidgeClassifier on the 5 x 5 pixels around, which is one convolution. The penalty is chosen on
the validation split; the test split is read once.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hwnas.tasks.mask_scores import IGNORED

from .pixel_model import PixelModel, TaskData

SIDE = 5
MAX_IMAGES = 1000
_IMAGES_AT_A_TIME = 16
_PENALTIES = (0.0001, 0.01, 1.0)


def neighbourhood_score(data: TaskData, *, seed: int, max_train: int = 100_000) -> PixelModel:
    """Fitted to at most `max_train` pixels of 1,000 training images drawn with `seed`, scored by the task."""
    from sklearn.linear_model import RidgeClassifier

    rng = np.random.default_rng(seed)
    available = data.split("train")
    train = np.sort(rng.permutation(available)[:MAX_IMAGES])
    x, y = _drawn(data, train, max(1, max_train // len(train)), rng)
    kernels = [
        (penalty, _kernel(RidgeClassifier(alpha=penalty * len(x)).fit(x, y), x.shape[1] // SIDE**2))
        for penalty in _PENALTIES
    ]
    scores = [_score(data, "val", kernel) for _, kernel in kernels]
    best = int(np.argmax(scores))
    return PixelModel(
        name="linear",
        val_accuracy=scores[best],
        test_accuracy=_score(data, "test", kernels[best][1]),
        n_train=len(train),
        n_train_available=len(available),
        image_side_px=int(data.images(train[:1]).shape[-1]),
        options={"penalty": kernels[best][0], "neighbourhood_px": SIDE},
    )


PixelKernel = tuple[Tensor, Tensor, NDArray[np.uint8]]
"""Weights (k, c, 5, 5), biases (k,), and the class of each of the k."""


def _drawn(
    data: TaskData, indices: NDArray[np.int64], per_image: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Neighbourhoods (n, c * 25) of pixels whose class is known, and the classes (n,)."""
    rows, classes = [], []
    for index, image in zip(indices.tolist(), _images(data, indices), strict=True):
        mask = data.labels[index].ravel()
        known = np.flatnonzero(mask != IGNORED)
        places = rng.choice(known, min(per_image, len(known)), replace=False)
        patches = functional.unfold(_padded(image[None]), SIDE)[0]  # (c * 25, pixels)
        rows.append(patches[:, torch.from_numpy(places)].T.numpy().astype(np.float64))
        classes.append(mask[places])
    return np.concatenate(rows), np.concatenate(classes)


def _kernel(model: object, channels: int) -> PixelKernel:
    """A fitted classifier as a convolution; of two classes it has one row, which is the second."""
    weights, biases = np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)  # type: ignore[attr-defined]
    if len(weights) == 1:
        weights, biases = np.concatenate([-weights, weights]), np.concatenate([-biases, biases])
    shaped = torch.from_numpy(weights.astype(np.float32)).reshape(-1, channels, SIDE, SIDE)
    classes = np.asarray(model.classes_, np.uint8)  # type: ignore[attr-defined]
    return shaped, torch.from_numpy(biases.astype(np.float32)), classes


def _score(data: TaskData, split: str, kernel: PixelKernel) -> float:
    indices = data.split(split)
    weights, biases, classes = kernel
    answers = [
        classes[functional.conv2d(_padded(image[None]), weights, biases)[0].argmax(0).numpy()]
        for image in _images(data, indices)
    ]
    return data.task.score(np.stack(answers), data.labels[indices])


def _images(data: TaskData, indices: NDArray[np.int64]) -> Iterator[Tensor]:
    """(c, s, s) in 0..1, one by one."""
    for start in range(0, len(indices), _IMAGES_AT_A_TIME):
        yield from data.images(indices[start : start + _IMAGES_AT_A_TIME]).float() / 255


def _padded(images: Tensor) -> Tensor:
    margin = SIDE // 2
    return functional.pad(images, (margin,) * 4, mode="replicate")
