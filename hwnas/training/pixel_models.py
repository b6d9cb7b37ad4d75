"""What convolutions have to beat: a support vector machine and a linear model on raw pixels.

The first is scikit-learn's. Their penalties are chosen on the validation split; the test split is read once,
for the figure. Memory does not grow with the data: images above `MAX_SIDE_PX` are averaged down to it while
they are read, and the training images are drawn down to a fixed amount of memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from hwnas.tasks import LabelArray, Task
from targets.errors import UsageError

from .neighbourhoods import neighbourhood_score
from .pixel_model import ImageData, PixelModel, TaskData
from .ridge import Answer, ridges

MAX_SIDE_PX = 32
"""Side of the images that the pixel models see: at most 3,072 numbers per image, those of CIFAR."""

MAX_VALUES = 160_000_000
"""Numbers that the linear model fits: room for all 50,000 training images of CIFAR-10, 1.3 GB while it fits
and 1.9 GB at most."""

_TARGET_COPIES = 6
"""Copies of the ±1 targets, per image and class, that may be held at once."""

_PENALTIES = (0.001, 0.01, 0.1, 1.0)
"""Of the linear models, per training image."""

MAX_SVC_CLASSES = 300
"""The SVC fits a model for every pair of classes, and asks each of them about every image."""

READ_BYTES = 16_000_000
"""Pixels read at a time; as float32 they take four times that."""

Classifier = Callable[[NDArray[Any]], LabelArray]
"""Pixels (n, d) -> predicted labels (n,), or numbers (n, k)."""
Fits = Callable[[NDArray[np.float32], LabelArray], Iterator[tuple[float, Classifier]]]
"""(pixels (n, d), labels) -> one fitted model per penalty."""
Scores = Callable[[LabelArray, LabelArray], float]
"""(predictions, labels) -> a score."""


def svc_accuracy(data: ImageData, *, seed: int, max_train: int = 5000) -> PixelModel:
    """scikit-learn's SVC with the RBF kernel and gamma 'scale', C of 1 or 10 chosen on validation.

    At most `max_train` training images, drawn with `seed`: fitting grows with the square of their number.
    UsageError for more than `MAX_SVC_CLASSES` classes.
    """
    n_classes = len(np.unique(data.labels))
    if n_classes > MAX_SVC_CLASSES:
        raise UsageError(
            f"the SVC fits a model for every pair of classes; there are {n_classes} classes, at most "
            f"{MAX_SVC_CLASSES} are tried"
        )
    return _best("svc", data, seed, max_train, _svcs)


def linear_accuracy(data: ImageData, *, seed: int, max_train: int = 50_000) -> PixelModel:
    """Ridge regression of ±1 per class, solved exactly; the penalty is chosen on validation.

    At most `max_train` training images, drawn with `seed`; fewer where many classes fill `MAX_VALUES`.
    """
    most = min(max_train, _most_images(data, len(np.unique(data.labels))))
    return _best("linear", data, seed, most, _ridges)


def ridge_score(data: TaskData, *, seed: int, max_train: int = 50_000) -> PixelModel:
    """Ridge regression of several outputs, scored by the task; the penalty is chosen on validation."""
    most = min(max_train, _most_images(data, data.labels.shape[1]))
    return _best("linear", data, seed, most, _regressions, data.task.score)


def _most_images(data: ImageData, n_outputs: int) -> int:
    """Training images of which `MAX_VALUES` hold the pixels and the targets."""
    n_features: int = _pixels(data, data.split("train")[:1]).shape[1]
    return max(1, MAX_VALUES // (n_features + _TARGET_COPIES * n_outputs))


def _share_of_right(predicted: LabelArray, labels: LabelArray) -> float:
    return float((predicted == labels).sum()) / len(labels)


def _svcs(x: NDArray[np.float32], y: LabelArray) -> Iterator[tuple[float, Classifier]]:
    from sklearn.metrics.pairwise import rbf_kernel
    from sklearn.svm import SVC

    gamma = 1 / (x.shape[1] * max(float(x.var()), 1e-12))
    # The kernel by matrix products: 10 × faster than inside libsvm for images of 3,072 numbers.
    gram = rbf_kernel(x, x, gamma)
    for penalty in (1.0, 10.0):
        fitted = SVC(C=penalty, kernel="precomputed").fit(gram, y)

        def predict(rows: NDArray[Any], fitted: Any = fitted) -> NDArray[np.int64]:
            labels: NDArray[np.int64] = fitted.predict(rbf_kernel(rows, x, gamma))
            return labels

        yield penalty, predict


def _ridges(x: NDArray[np.float32], y: LabelArray) -> Iterator[tuple[float, Classifier]]:
    # In single precision the smallest penalty drowns: it is a millionth of the largest eigenvalue.
    exact = x.astype(np.float64)
    del x
    classes = np.unique(y)
    targets = np.where(y[:, None] == classes, 1.0, -1.0)
    for penalty, answer in ridges(exact, targets, _PENALTIES):

        def predict(rows: NDArray[Any], answer: Answer = answer) -> LabelArray:
            labels: LabelArray = classes[answer(rows).argmax(axis=1)]
            return labels

        yield penalty, predict


def _regressions(x: NDArray[np.float32], y: LabelArray) -> Iterator[tuple[float, Classifier]]:
    exact = x.astype(np.float64)
    del x
    for penalty, answer in ridges(exact, y.astype(np.float64), _PENALTIES):

        def predict(rows: NDArray[Any], answer: Answer = answer) -> LabelArray:
            return answer(rows).astype(np.float32)

        yield penalty, predict


def _best(
    name: str, data: ImageData, seed: int, max_train: int, fits: Fits, score: Scores = _share_of_right
) -> PixelModel:
    available = data.split("train")
    train = np.sort(np.random.default_rng(seed).permutation(available)[:max_train])
    x = _pixels(data, train)
    centre, spread = x.mean(axis=0), max(float(x.std()), 1e-6)

    def scaled(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        rows -= centre
        rows /= spread
        return rows

    def shares(predictors: Sequence[Classifier], split: str) -> list[float]:
        """Scores of all in one reading of the split."""
        indices: NDArray[np.int64] = data.split(split)
        predicted: list[list[LabelArray]] = [[] for _ in predictors]
        for part in _parts(data, indices):
            rows = scaled(_pixels(data, part))
            for answers, predict in zip(predicted, predictors, strict=True):
                answers.append(predict(rows))
        return [score(np.concatenate(answers), data.labels[indices]) for answers in predicted]

    fitted, n_train = fits(scaled(x), data.labels[train]), len(train)
    del x  # `fits` holds it as long as it needs it
    penalties, predictors = zip(*fitted, strict=True)
    scores = shares(predictors, "val")
    best = int(np.argmax(scores))
    (tested,) = shares([predictors[best]], "test")
    return PixelModel(
        name=name,
        val_accuracy=scores[best],
        test_accuracy=tested,
        n_train=n_train,
        n_train_available=len(available),
        image_side_px=_plane(data)[1],
        options={"penalty": penalties[best]},
    )


PIXEL_MODELS: dict[str, tuple[str, Callable[..., PixelModel]]] = {
    "svc": ("svc", svc_accuracy),
    "linear": ("linear", linear_accuracy),
    "ridge": ("linear", ridge_score),
    "neighbourhoods": ("linear", neighbourhood_score),
}
"""The name of the result, which tasks share, and what fits it."""


def pixel_models(task: Task) -> dict[str, Callable[..., PixelModel]]:
    """Those of a task, by the name of their results."""
    return dict(PIXEL_MODELS[name] for name in task.pixel_models)


def _plane(data: ImageData) -> tuple[int, int]:
    """Height and width at which samples are seen: as many values of a signal as of an image."""
    height, width = data.images(data.split("train")[:1]).shape[-2:]
    if height == 1:
        return 1, min(MAX_SIDE_PX**2, width)
    return min(MAX_SIDE_PX, height), min(MAX_SIDE_PX, width)


def _channels(data: ImageData) -> tuple[torch.Tensor, torch.Tensor]:
    """What is subtracted from each channel and what it is divided by, (c, 1, 1)."""
    first = data.images(data.split("train")[:1])
    if first.dtype == torch.uint8:
        return torch.zeros(1), torch.full((1,), 255.0)
    n, total, squares = 0, torch.zeros(first.shape[1]).double(), torch.zeros(first.shape[1]).double()
    for part in _parts(data, data.split("train")):
        values = data.images(part).double().transpose(0, 1).flatten(1)
        n, total = n + values.shape[1], total + values.sum(1)
        squares = squares + values.square().sum(1)
    mean = total / n
    spread = (squares / n - mean.square()).clamp_min(1e-24).sqrt()
    return mean.float()[:, None, None], spread.float()[:, None, None]


def _parts(data: ImageData, indices: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """`indices` in pieces of at most `READ_BYTES` of pixels and 1,000 images."""
    step = min(1000, max(1, READ_BYTES // data.images(indices[:1]).numel())) if len(indices) else 1
    for start in range(0, len(indices), step):
        yield indices[start : start + step]


def _pixels(data: ImageData, indices: NDArray[np.int64]) -> NDArray[np.float32]:
    """(n, c * side * side), images in 0..1; larger ones are averaged over areas to `MAX_SIDE_PX`.

    The channels of signals have units of their own, and are standardised as for the networks.
    """
    plane = _plane(data)
    centre, spread = _channels(data)
    rows: NDArray[np.float32] | None = None
    done = 0
    for part in _parts(data, indices):
        images = data.images(part).float()
        if tuple(images.shape[-2:]) != plane:
            images = functional.adaptive_avg_pool2d(images, plane)
        flat = images.sub_(centre).div_(spread).flatten(1).numpy()
        if rows is None:
            rows = np.empty((len(indices), flat.shape[1]), np.float32)
        rows[done : done + len(part)] = flat
        done += len(part)
    if rows is None:
        raise UsageError("a pixel model needs at least one image in each split")
    return rows
